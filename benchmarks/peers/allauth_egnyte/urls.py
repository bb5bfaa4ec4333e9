from allauth.socialaccount.providers.oauth2.urls import default_urlpatterns

from .provider import EgnyteProvider

urlpatterns = default_urlpatterns(EgnyteProvider)
