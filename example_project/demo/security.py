"""Security headers and a log filter, in addition to Django's own."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class ContentSecurityPolicyMiddleware:
    """Sets a strict policy, to show that the pages of django-egnyte work with it.

    Django 6.0 has a middleware for this; the example runs on 5.2 as well.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers["Content-Security-Policy"] = settings.CONTENT_SECURITY_POLICY
        return response


class WithoutCodes(logging.Filter):
    """Removes the callback's query, which has the code, from the access log.

    Configure the same for your server in production. A used code is of little use, but is a secret.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                re.sub(r"(/callback/)\?\S*", r"\1", arg) if isinstance(arg, str) else arg
                for arg in record.args
            )
        return True
