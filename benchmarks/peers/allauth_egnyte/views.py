from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.oauth2.views import (
    OAuth2Adapter,
    OAuth2CallbackView,
    OAuth2LoginView,
)
from django.conf import settings


class EgnyteAdapter(OAuth2Adapter):
    provider_id = "egnyte"
    access_token_url = authorize_url = f"{settings.PROVIDER}/puboauth/token"
    profile_url = f"{settings.PROVIDER}/pubapi/v1/userinfo"

    def complete_login(self, request, app, token, **kwargs):
        headers = {"Authorization": f"Bearer {token.token}"}
        with get_adapter().get_requests_session() as session:
            response = session.get(self.profile_url, headers=headers)
            response.raise_for_status()
            found = response.json()
        return self.get_provider().sociallogin_from_response(request, found)


oauth2_login = OAuth2LoginView.adapter_view(EgnyteAdapter)
oauth2_callback = OAuth2CallbackView.adapter_view(EgnyteAdapter)
