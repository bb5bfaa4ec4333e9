"""An Egnyte backend for social-auth, which has none. It is as short as social-auth's own."""

from django.conf import settings
from social_core.backends.oauth import BaseOAuth2


class EgnyteOAuth2(BaseOAuth2):
    name = "egnyte"
    AUTHORIZATION_URL = ACCESS_TOKEN_URL = f"{settings.PROVIDER}/puboauth/token"
    ACCESS_TOKEN_METHOD = "POST"
    REDIRECT_STATE = False
    DEFAULT_SCOPE = ["Egnyte.filesystem"]
    EXTRA_DATA = [
        ("refresh_token", "refresh_token"),
        ("expires_in", "expires"),
        ("token_type", "token_type"),
    ]

    def get_user_details(self, response):
        return {name: response.get(name, "") for name in ("username", "first_name", "last_name")}

    def user_data(self, access_token, *args, **kwargs):
        return self.get_json(
            f"{settings.PROVIDER}/pubapi/v1/userinfo",
            headers={"Authorization": f"Bearer {access_token}"},
        )
