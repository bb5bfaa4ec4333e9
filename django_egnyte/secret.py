"""A text that hides itself. In memory every token, code, password and key is one."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn, final


@final
class Secret:
    """Holds a text that only ``reveal()`` gives out.

    ``str``, ``repr`` and formatting give a placeholder. So logs, error reports that read the local
    variables of a traceback, and debug pages do not show the text. A ``Secret`` is false when it
    holds no text. Two are equal when their texts are, compared in constant time; a ``Secret`` never
    equals a ``str``. It cannot be pickled, so it cannot reach a cache, a session or a task.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text. Call this only where it leaves the process, and keep it in no variable."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "<secret>" if self._text else "<no secret>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._text.encode(errors="surrogatepass"), other._text.encode(errors="surrogatepass")
        )

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret cannot be pickled.")


NO_SECRET = Secret()
