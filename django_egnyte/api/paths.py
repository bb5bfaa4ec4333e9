"""Check and encode the paths that are sent with a user's token.

With a segment `.` or `..` a raw path could reach another of Egnyte's APIs. It is refused in every
spelling that a server or proxy may understand, however many times it is encoded. In a file's path
each segment is a name and is encoded as a whole, so only a literal `.` or `..` is refused, also
with blanks around it.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote_to_bytes

from django_egnyte.exceptions import InvalidPathError

_MAX_LENGTH = 8000
_MAX_ENCODINGS = 8
_MAX_NAME = 245
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE).match
_STRAY_PERCENT = re.compile(r"%(?![0-9a-f]{2})", re.IGNORECASE).search
_MICROSOFT = re.compile(r"%u([0-9a-f]{4})", re.IGNORECASE)
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]").search
# Names that a live domain refuses, or that an official SDK says it refuses.
_NO_NAME = re.compile(
    r'[:*?"<>|]|\A | \Z|\.\Z|\.tmp\Z|\A(?:thumbs\.db|\.ds_store)\Z|\A\._', re.IGNORECASE
).search
# Certainly harmless: letters, digits, and dots only between them.
_PLAIN = re.compile(r"/?(?:[\w-]+(?:\.[\w-]+)*/)*(?:[\w-]+(?:\.[\w-]+)*)?", re.ASCII).fullmatch
# Overlong UTF-8, which careless decoders read as "." and "/".
_OVERLONG = (
    (b"\xc0\xae", b"."),
    (b"\xe0\x80\xae", b"."),
    (b"\xf0\x80\x80\xae", b"."),
    (b"\xc0\xaf", b"/"),
    (b"\xe0\x80\xaf", b"/"),
    (b"\xf0\x80\x80\xaf", b"/"),
)
_SAFE_IN_PATH = "!$%&'()*+,/:;=@~"


class QuotedPath(str):
    """A path whose segments were all quoted here. A call sends it unchanged."""

    __slots__ = ()


def api_path(path: str) -> str:
    """The path of a raw call, as it follows the host: "/pubapi/v1/userinfo".

    The leading slash is optional, and a query may follow. Encoded parts stay as they are; blanks
    and non-ASCII letters are encoded. Raises InvalidPathError for an empty path, one with a
    scheme, host or fragment, a `.` or `..` segment in any encoding, backslashes, control
    characters or invalid escapes.
    """
    if isinstance(path, QuotedPath):
        return path
    if path and len(path) <= _MAX_LENGTH and path[:2] != "//" and _PLAIN(path):
        return path if path[0] == "/" else f"/{path}"
    if problem := _problem_of(path):
        raise InvalidPathError(problem)
    bare, mark, query = path.partition("?")
    _refuse_climbing(bare)
    return (
        "/"
        + quote(bare.lstrip("/"), safe=_SAFE_IN_PATH)
        + mark
        + quote(query, safe=_SAFE_IN_PATH + "?[]")
    )


def _problem_of(path: str) -> str:
    """The fault in a raw path, or an empty text if it has none."""
    bare = path.partition("?")[0]
    if not path:
        return "The path is empty."
    if _SCHEME(path) or path.startswith(("//", "?")):
        return "A path is needed, not an address with a host."
    if "#" in path:
        return "A path may not have a fragment. Write %23 for a # in a name."
    if _FORBIDDEN(path):
        return "The path holds a backslash or a control character."
    if "//" in bare:
        return "The path has an empty segment."
    if _STRAY_PERCENT(path):
        return "The path holds a % that starts no escape. Write %25 for it."
    try:
        unquote_to_bytes(bare).decode()
    except UnicodeDecodeError:
        return "The path holds escapes that are not UTF-8."
    return ""


def fs_path(path: str, *, under: str = "") -> QuotedPath:
    """The path of a file or folder, with each segment encoded: "/Shared/50%25%20off".

    `path` is not encoded: "/Shared/50% off", as people write it and Egnyte lists it. Empty segments
    are dropped. The root is "/". `under` is put in front. Raises InvalidPathError for an
    empty path, a segment `.` or `..`, a backslash, a control character and a lone surrogate.
    """
    return QuotedPath(
        under + "/" + "/".join(quote(segment, safe="") for segment in _segments(path))
    )


def clean_path(path: str) -> str:
    """The same path without encoding, in its normal form, for the body of a request."""
    return "/" + "/".join(_segments(path))


def refuse_bad_names(path: str) -> None:
    """Raise InvalidPathError if Egnyte refuses to create something of this name."""
    for name in _segments(path):
        if not is_name(name):
            raise InvalidPathError(
                "Egnyte takes no such name for a file or folder.",
                hint=(
                    'Names may not hold : * ? " < > | nor begin or end with a blank, end with a '
                    f"dot or .tmp, begin with ._ or have more than {_MAX_NAME} characters."
                ),
            )


def is_name(name: str) -> bool:
    """Whether Egnyte creates a file or folder of this name."""
    return 0 < len(name) <= _MAX_NAME and not _NO_NAME(name)


def _segments(path: str) -> list[str]:
    if not path:
        raise InvalidPathError("The path is empty.")
    if len(path) > _MAX_LENGTH:
        raise InvalidPathError("The path is too long.")
    if _FORBIDDEN(path):
        raise InvalidPathError("The path holds a backslash or a control character.")
    segments = [segment for segment in path.split("/") if segment]
    # Egnyte has no names with a blank at an end, but it may cut one off.
    if any(segment.strip() in (".", "..") for segment in segments):
        raise InvalidPathError("A path may not have segments . or ..")
    return segments


def _refuse_climbing(path: str) -> None:
    if len(path) > _MAX_LENGTH:
        raise InvalidPathError("The path is too long.")
    for _ in range(_MAX_ENCODINGS):
        if _FORBIDDEN(path):
            raise InvalidPathError("The path holds an encoded backslash or control character.")
        for segment in path.split("/"):
            # Java servers cut a segment at ";", others at blanks; NFKC makes dots of their
            # full-width and two-in-one forms.
            name = unicodedata.normalize("NFKC", segment).partition(";")[0].strip()
            if name in (".", "..") or "\\" in name or "/../" in f"/{name}/":
                raise InvalidPathError("A path may not have segments . or .., encoded or not.")
        decoded = _decoded(path)
        if decoded == path:
            return
        path = decoded
    raise InvalidPathError("The path is encoded too many times.")


def _decoded(path: str) -> str:
    raw = unquote_to_bytes(_MICROSOFT.sub(lambda found: chr(int(found[1], 16)), path))
    for overlong, plain in _OVERLONG:
        raw = raw.replace(overlong, plain)
    return raw.decode(errors="replace")
