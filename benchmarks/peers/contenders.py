"""The contenders: the settings and URLs of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

KEY = ("sandbox-code-key", "sandbox-code-secret")
SCOPE = "Egnyte.filesystem"


@dataclass(frozen=True)
class Contender:
    """``start`` and ``disconnect`` take POST requests. ``token`` reads the token of a user."""

    title: str
    apps: tuple[str, ...]
    middleware: tuple[str, ...]
    urls: Callable[[], list[Any]]
    start: str
    start_data: Mapping[str, str]
    linked: Callable[[Any], Any]
    """The primary key of the user's link; raises if there is none."""
    disconnect: Callable[[Any], tuple[str, dict[str, Any]]]
    token: Callable[[Any], str]
    settings: Callable[[str], dict[str, Any]] = field(default=lambda provider: {})
    after_round: Callable[[], None] = field(default=lambda: None)


def _egnyte_urls() -> list[Any]:
    from django.urls import include, path

    return [path("egnyte/", include("django_egnyte.urls"))]


def _egnyte_settings(provider: str) -> dict[str, Any]:
    return {
        "EGNYTE_CLIENT_ID": KEY[0],
        "EGNYTE_CLIENT_SECRET": KEY[1],
        "EGNYTE_BASE_URL": provider.replace("/d/acme", "/d/{domain}"),
        "EGNYTE_SCOPES": [SCOPE],
        # The rounds make more requests than a site in an hour.
        "EGNYTE_TOKEN_REQUESTS_PER_HOUR": 1_000_000,
    }


def _egnyte_linked(user: Any) -> Any:
    from django_egnyte.models import EgnyteAccount

    return EgnyteAccount.objects.live().get(user=user).pk


def _egnyte_token(request: Any) -> str:
    return str(request.egnyte.account.open_token())


def _egnyte_after_round() -> None:
    """Do the worker's part, and keep the ledger as short as Egnyte's limit keeps it."""
    from django_egnyte.models import TokenRequest
    from django_egnyte.services.revoke import process_revocations

    process_revocations()
    newest = TokenRequest.objects.order_by("-pk").values_list("pk", flat=True)[:50]
    TokenRequest.objects.exclude(pk__in=list(newest)).delete()


def _allauth_urls() -> list[Any]:
    from django.urls import include, path

    return [path("accounts/", include("allauth.urls"))]


def _allauth_settings(provider: str) -> dict[str, Any]:
    app = {"client_id": KEY[0], "secret": KEY[1]}
    return {
        "SOCIALACCOUNT_STORE_TOKENS": True,
        "SOCIALACCOUNT_PROVIDERS": {"egnyte": {"APPS": [app], "SCOPE": [SCOPE]}},
        "AUTHENTICATION_BACKENDS": [
            "django.contrib.auth.backends.ModelBackend",
            "allauth.account.auth_backends.AuthenticationBackend",
        ],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        # For a new link, allauth sends an e-mail.
        "ACCOUNT_EMAIL_NOTIFICATIONS": False,
    }


def _allauth_linked(user: Any) -> Any:
    from allauth.socialaccount.models import SocialAccount

    return SocialAccount.objects.get(user=user).pk


def _allauth_token(request: Any) -> str:
    from allauth.socialaccount.models import SocialToken

    return str(
        SocialToken.objects.get(account__user=request.user, account__provider="egnyte").token
    )


def _social_urls() -> list[Any]:
    from django.urls import include, path

    return [path("", include("social_django.urls", namespace="social"))]


def _social_settings(provider: str) -> dict[str, Any]:
    return {
        "SOCIAL_AUTH_EGNYTE_KEY": KEY[0],
        "SOCIAL_AUTH_EGNYTE_SECRET": KEY[1],
        "SOCIAL_AUTH_REDIRECT_IS_HTTPS": True,
        "AUTHENTICATION_BACKENDS": [
            "benchmarks.peers.social_backend.EgnyteOAuth2",
            "django.contrib.auth.backends.ModelBackend",
        ],
    }


def _social_linked(user: Any) -> Any:
    return user.social_auth.get(provider="egnyte").pk


def _social_token(request: Any) -> str:
    return str(request.user.social_auth.get(provider="egnyte").access_token)


def _floor_urls() -> list[Any]:
    from .floor.views import urlpatterns

    return urlpatterns


def _floor_settings(provider: str) -> dict[str, Any]:
    token = f"{provider}/puboauth/token"
    return {
        "FLOOR": {
            "client_id": KEY[0],
            "client_secret": KEY[1],
            "authorize_url": token,
            "access_token_url": token,
            "api_base_url": f"{provider}/",
            "client_kwargs": {
                "scope": SCOPE,
                "token_endpoint_auth_method": "client_secret_post",
            },
        }
    }


def _floor_linked(user: Any) -> Any:
    return user.link_set.get().pk


def _floor_token(request: Any) -> str:
    return str(request.user.link_set.get().token["access_token"])


CONTENDERS = {
    "egnyte": Contender(
        title="django-egnyte",
        apps=("django_egnyte",),
        middleware=("django_egnyte.middleware.EgnyteMiddleware",),
        urls=_egnyte_urls,
        settings=_egnyte_settings,
        start="/egnyte/connect/",
        start_data={"domain": "acme"},
        linked=_egnyte_linked,
        disconnect=lambda pk: (f"/egnyte/{pk}/disconnect/", {}),
        token=_egnyte_token,
        after_round=_egnyte_after_round,
    ),
    "allauth": Contender(
        title="django-allauth",
        apps=(
            *("allauth", "allauth.account", "allauth.socialaccount"),
            "benchmarks.peers.allauth_egnyte",
        ),
        middleware=("allauth.account.middleware.AccountMiddleware",),
        urls=_allauth_urls,
        settings=_allauth_settings,
        start="/accounts/egnyte/login/?process=connect",
        start_data={},
        linked=_allauth_linked,
        disconnect=lambda pk: ("/accounts/3rdparty/", {"account": pk}),
        token=_allauth_token,
    ),
    "social": Contender(
        title="social-auth",
        apps=("social_django",),
        middleware=("social_django.middleware.SocialAuthExceptionMiddleware",),
        urls=_social_urls,
        settings=_social_settings,
        start="/login/egnyte/",
        start_data={},
        linked=_social_linked,
        disconnect=lambda pk: (f"/disconnect/egnyte/{pk}/", {}),
        token=_social_token,
    ),
    "floor": Contender(
        title="Authlib + 40 lines",
        apps=("benchmarks.peers.floor",),
        middleware=(),
        urls=_floor_urls,
        settings=_floor_settings,
        start="/connect/",
        start_data={},
        linked=_floor_linked,
        disconnect=lambda pk: (f"/disconnect/{pk}/", {}),
        token=_floor_token,
    ),
}
