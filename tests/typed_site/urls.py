"""The URLs of the site."""

from __future__ import annotations

from django.urls import include, path

from . import aviews, views
from .admin import site

urlpatterns = [
    path("", views.home, name="home"),
    path("folder/", views.folder, name="folder"),
    path("file/<path:path>", views.FileView.as_view(), name="file"),
    path("download/<path:path>", views.download, name="download"),
    path("archive/", views.archive, name="archive"),
    path("links/", views.links, name="links"),
    path("colleague/<str:username>/", views.colleague, name="colleague"),
    path("account/<int:pk>/", views.other_account, name="account"),
    path("async/overview/", aviews.overview, name="aoverview"),
    path("async/size/", aviews.size, name="asize"),
    path("async/tidy/", aviews.tidy, name="atidy"),
    path("async/links/", aviews.links, name="alinks"),
    path("async/download/<path:path>", aviews.download, name="adownload"),
    path("admin/", site.urls),
    path("egnyte/", include("django_egnyte.urls")),
]
