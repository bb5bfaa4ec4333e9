"""Include as ``path("egnyte/", include("django_egnyte.urls"))``."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "egnyte"

urlpatterns = [
    path("", views.accounts, name="accounts"),
    path("connect/", views.connect, name="connect"),
    path("callback/", views.callback, name="callback"),
    path("domain/", views.domain, name="domain"),
    path("implicit/", views.implicit, name="implicit"),
    path("password/", views.password, name="password"),
    path("webhook/", views.webhook, name="webhook"),
    path("<int:pk>/disconnect/", views.disconnect, name="disconnect"),
    path("<int:pk>/default/", views.make_default, name="default"),
]
