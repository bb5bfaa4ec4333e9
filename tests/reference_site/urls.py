from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from . import api, views
from .admin import site

router = SimpleRouter()
router.register("folders", api.Folders, basename="folders")
router.register("guarded", api.GuardedFolders, basename="guarded")

urlpatterns = [
    path("api/permitted/", api.Permitted.as_view()),
    path("api/sharing/", api.Sharing.as_view()),
    path("api/sharing-by-name/", api.SharingByName.as_view()),
    path("api/dispatched/", api.Dispatched.as_view()),
    path("api/dispatched-sharing/", api.DispatchedSharing.as_view()),
    path("api/decorated/", api.Decorated.as_view()),
    path("api/handled/", api.Handled.as_view()),
    path("api/bare/", api.Bare.as_view()),
    path("api/wrapped/", api.egnyte_required(api.Bare.as_view())),
    path("api/wrapped-set/", api.egnyte_required(api.Folders.as_view({"get": "list"}))),
    path("api/function/", api.function),
    path("api/outside/", api.outside),
    path("api/files/<path:path>", api.Files.as_view()),
    path("api/unguarded/", api.Unguarded.as_view()),
    path("api/chosen/<int:pk>/", api.Chosen.as_view()),
    path("api/", include(router.urls)),
    path("auserinfo/", views.auserinfo),
    path("__debug__/", include("debug_toolbar.urls")),
    *i18n_patterns(
        path("", views.home, name="home"),
        path("folder/", views.folder, name="folder"),
        path("egnyte/", include("django_egnyte.urls")),
        path("accounts/", include("allauth.urls")),
        path("admin/", admin.site.urls),
        path("staff/", site.urls),
    ),
]
