"""What the example adds to Django's own precautions."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class ContentSecurityPolicyMiddleware:
    """A strict policy, to show that the pages of django-egnyte need no more.

    Django 6.0 has a middleware for this; the example runs on 5.2 as well.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers["Content-Security-Policy"] = settings.CONTENT_SECURITY_POLICY
        return response


class WithoutCodes(logging.Filter):
    """Keeps what Egnyte appends to the callback's address out of the access log.

    A server in production needs the like: a code is worth little once used, but it is a secret.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                re.sub(r"(/callback/)\?\S*", r"\1", arg) if isinstance(arg, str) else arg
                for arg in record.args
            )
        return True
