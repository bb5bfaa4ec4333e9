"""The file browser. Paths are in the query, because file names may have any characters."""

from __future__ import annotations

from django.urls import path

from . import more, views

app_name = "files"

urlpatterns = [
    path("", views.home, name="home"),
    path("files/", views.folder, name="folder"),
    path("files/download/", views.download, name="download"),
    path("files/upload/", views.upload, name="upload"),
    path("files/new-folder/", views.new_folder, name="new_folder"),
    path("files/delete/", views.delete, name="delete"),
    path("files/search/", more.search, name="search"),
    path("files/file/", more.file, name="file"),
    path("files/lock/", more.lock, name="lock"),
    path("files/share/", more.share, name="share"),
    path("changes/", more.changes, name="changes"),
]
