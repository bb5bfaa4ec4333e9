"""Times in the admin: relative in lists, and in Django's format elsewhere."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _


def exactly(moment: datetime | None) -> str | None:
    """The time in the format of Django's admin."""
    if moment is None:
        return None
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return str(localize(local))


def distance(moment: datetime | None) -> SafeString | str:
    """The time relative to now, in the largest unit. The exact time is in the tooltip."""
    if moment is None:
        return _("never")
    now = timezone.now()
    text = _("in %(time)s") if moment > now else _("%(time)s ago")
    first, last = sorted((now, moment))
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        exactly(moment),
        text % {"time": timesince(first, last, depth=1)},
    )
