"""The forms: a domain, and for one flow a username and a password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from . import gateway
from .exceptions import InvalidDomainError
from .secret import Secret


class DomainForm(forms.Form):
    """Asks for a domain. ``cleaned_data["domain"]`` is the full host."""

    domain = forms.CharField(
        label=_("Egnyte domain"),
        max_length=4000,  # a user may paste the address of a page
        help_text=_("The first part of your Egnyte address: “acme” for acme.egnyte.com."),
        widget=forms.TextInput(
            attrs={
                "autocapitalize": "none",
                "autocomplete": "organization",
                "autocorrect": "off",
                "spellcheck": "false",
                "placeholder": "acme",
            }
        ),
    )

    def clean_domain(self) -> str:
        try:
            return gateway.host_of(self.cleaned_data["domain"])
        except InvalidDomainError as error:
            if error.host:  # it is a domain that this site does not link
                raise forms.ValidationError(
                    _("Accounts at this domain cannot be connected here."), code="not_allowed"
                ) from None
            raise forms.ValidationError(
                _("This is not an Egnyte domain. Enter it as “acme” or “acme.egnyte.com”."),
                code="invalid",
            ) from None


class SecretField(forms.CharField):
    """Cleans to a ``Secret``, so that no form holds a password in clear."""

    def clean(self, value: Any) -> Secret:
        return Secret(super().clean(value.reveal() if isinstance(value, Secret) else value))


class PasswordForm(forms.Form):
    """Egnyte's username and password, for the flow of internal applications."""

    username = forms.CharField(
        label=_("Egnyte username"),
        max_length=255,
        widget=forms.TextInput(attrs={"autocapitalize": "none", "autocomplete": "username"}),
    )
    password = SecretField(
        label=_("Egnyte password"),
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


def domain_form(data: Any = None, *, initial: str = "") -> DomainForm | None:
    """The form, or ``None`` if the site has one fixed domain and nothing to ask."""
    if gateway.fixed_host() is not None:
        return None
    return DomainForm(data, initial={"domain": initial})
