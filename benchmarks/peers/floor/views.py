"""Views as with Authlib alone. They encrypt, refresh and revoke nothing."""

from authlib.integrations.django_client import OAuth
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from .models import Link

oauth = OAuth()
oauth.register("egnyte", **settings.FLOOR)


@require_POST
@login_required
def start(request: HttpRequest) -> HttpResponse:
    back = request.build_absolute_uri(reverse("callback"))
    return oauth.egnyte.authorize_redirect(request, back)


@login_required
def callback(request: HttpRequest) -> HttpResponse:
    token = oauth.egnyte.authorize_access_token(request)
    found = oauth.egnyte.get("pubapi/v1/userinfo", token=token)
    found.raise_for_status()
    Link.objects.update_or_create(
        user=request.user, uid=str(found.json()["id"]), defaults={"token": dict(token)}
    )
    return HttpResponseRedirect("/")


@require_POST
@login_required
def disconnect(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(Link, user=request.user, pk=pk).delete()
    return HttpResponseRedirect("/")


urlpatterns = [
    path("connect/", start),
    path("callback/", callback, name="callback"),
    path("disconnect/<int:pk>/", disconnect),
]
