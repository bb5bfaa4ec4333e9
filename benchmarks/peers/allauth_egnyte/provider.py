"""An Egnyte provider for allauth, which has none. It is as short as allauth's own."""

from allauth.socialaccount.providers.base import ProviderAccount
from allauth.socialaccount.providers.oauth2.provider import OAuth2Provider

from .views import EgnyteAdapter


class EgnyteProvider(OAuth2Provider):
    id = "egnyte"
    name = "Egnyte"
    account_class = ProviderAccount
    oauth2_adapter_class = EgnyteAdapter

    def extract_uid(self, data):
        return str(data["id"])

    def extract_common_fields(self, data):
        return {name: data.get(name, "") for name in ("username", "first_name", "last_name")}


provider_classes = [EgnyteProvider]
