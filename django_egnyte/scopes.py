"""Sign the additional scopes that a page needs, so that a link can carry them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from django.core import signing

SALT: Final = "django_egnyte.scopes"
# Seconds. A page may stay open for a working day before the user follows its link.
LIFETIME: Final = 24 * 3600
MOST: Final = 50
LONGEST_TEXT: Final = 4096

# RFC 6749 section 3.3, one scope-token.
SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
LONGEST: Final = 100


def sign(user: Any, scopes: Sequence[str]) -> str:
    """A text for a link of this user. The signature shows that the site's code chose the scopes."""
    return signing.dumps([str(user.pk), *scopes], salt=SALT, compress=True)


def read(user: Any, text: str) -> tuple[str, ...] | None:
    """The scopes that were signed for this user within a day. ``None`` for anything else."""
    if len(text) > LONGEST_TEXT:
        return None
    try:
        found = signing.loads(text, salt=SALT, max_age=LIFETIME)
    except (signing.BadSignature, ValueError):
        return None
    if not isinstance(found, list) or not found or found[0] != str(user.pk):
        return None
    scopes = tuple(found[1:])
    usable = len(scopes) <= MOST and all(
        isinstance(each, str) and len(each) <= LONGEST and SCOPE.fullmatch(each) for each in scopes
    )
    return scopes if usable else None


def lacking(granted: Sequence[str], needed: Sequence[str]) -> list[str]:
    """The needed scopes that were not granted. A grant without scopes covers every API (Egnyte's
    page on authentication)."""
    return [scope for scope in needed if scope not in granted] if granted else []
