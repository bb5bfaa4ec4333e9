"""The view to which Egnyte posts the notifications of webhooks."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.handlers.asgi import ASGIRequest
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from ..api.areas.notifications import MAX_BYTES, parse_delivery
from ..callers import WEBHOOK_HEADER, WEBHOOK_KEY
from ..exceptions import ResponseError
from ..secret import Secret
from ..services import events, webhooks

logger = logging.getLogger("django_egnyte.webhooks")


@login_not_required
@csrf_exempt
@never_cache
@require_POST
@sensitive_variables()
def webhook(request: HttpRequest) -> HttpResponse:
    """``egnyte:webhook``: stores the events and answers 200 at once; a worker handles them.

    It answers 403 without this site's secret, before it reads the body; 413 for a body over 1 MiB;
    400 if the body is not a list of events; 503 if the account has too many events in this hour.
    Egnyte repeats a delivery that is not answered with 200.
    """
    sender = webhooks.sender_of(_take_secret(request))
    if sender is None:
        return _refused(403, "it has no secret of this site")
    if not sender.is_current:
        logger.warning(
            "The webhook of account %s has the secret of an older key. Before you remove that "
            "key, run 'manage.py egnyte_webhooks renew --account %s'.",
            sender.account_id,
            sender.account_id,
            extra={"event": "webhook_of_older_key", "account_id": sender.account_id},
        )
    if events.is_flooded(sender.account_id):
        why = f"account {sender.account_id} has brought EGNYTE_EVENTS_PER_HOUR events"
        refused = _refused(503, why)
        refused.headers["Retry-After"] = "600"
        return refused
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or len(length) > 18 or int(length) > MAX_BYTES:
        return _refused(413, f"it is over {MAX_BYTES:,} bytes")
    try:
        # Not `request.body`: its limit is the site's setting for forms.
        told = parse_delivery(request.read(MAX_BYTES + 1))
    except (ResponseError, UnreadablePostError) as error:
        return _refused(400, str(error))
    events.receive(sender.account_id, told)
    return HttpResponse(status=200)


# Not atomic, even with ATOMIC_REQUESTS: a 200 promises that the events are stored.
for _alias in connections:
    webhook = transaction.non_atomic_requests(using=_alias)(webhook)


def _take_secret(request: HttpRequest) -> Secret:
    """Take the header's value out of the request, which error reports show."""
    secret = Secret(request.META.pop(WEBHOOK_KEY, ""))
    vars(request).pop("headers", None)
    if isinstance(request, ASGIRequest):
        scope: Any = request.scope
        ours = WEBHOOK_HEADER.lower().encode()
        scope["headers"] = [each for each in scope["headers"] if each[0].lower() != ours]
    return secret


def _refused(status: int, why: str) -> HttpResponse:
    logger.warning(
        "A delivery to egnyte:webhook was refused with %d: %s.",
        status,
        why,
        extra={"event": "delivery_refused", "status": status},
    )
    return HttpResponse(status=status)
