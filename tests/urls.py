from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("plain/", views.plain, name="plain"),
    path("egnyte-userinfo/", views.userinfo, name="userinfo"),
    path("egnyte-userinfo-async/", views.auserinfo, name="auserinfo"),
    path("admin/", admin.site.urls),
    path("accounts/login/", LoginView.as_view(), name="login"),
    path("egnyte/", include("django_egnyte.urls")),
]
