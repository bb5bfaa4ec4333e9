"""A suspended API key must not wipe the site: Egnyte answers for it as for a dead token.

When too many of the last answers are deaths, verdicts pause. They resume by themselves after a
lot of ``GOOD_ANSWERS`` answers with few deaths among them, or by ``resume()``.
"""

from __future__ import annotations

import logging
from typing import Final

from django.db.models import F
from django.utils import timezone

from ..models import KeyState
from .budget import key_state, prepare
from .transactions import in_short_transaction

logger = logging.getLogger("django_egnyte.breaker")

MOST_DEATHS: Final = 20
MOST_SHARE: Final = 0.05
GOOD_ANSWERS: Final = 20
# After so many answers all counts are halved, so that old ones fade. Answers and not hours: on
# a quiet site a clock would forgive twenty deaths again and again.
WINDOW: Final = 1000


def note_alive(answers: int = 1) -> None:
    """Count tokens that Egnyte said are alive; may end a pause."""
    if not key_state().update(answers=F("answers") + answers):
        return  # nothing was ever counted against this key
    state = key_state().first()
    if state is None:
        return
    if state.verdicts_paused_at and state.answers >= GOOD_ANSWERS:
        if _too_many(state):
            key_state().update(answers=0, deaths=0)
        else:
            resume("answers are good again")
    elif state.answers > WINDOW:
        key_state().update(answers=state.answers // 2, deaths=state.deaths // 2)


def may_pass() -> bool:
    """Count one death, and say whether a verdict may be passed on it."""

    # Not within: a snapshot of MariaDB's would not see what another process has just made.
    prepare()

    def count() -> tuple[KeyState, bool]:
        state = key_state().select_for_update().get()
        state.answers += 1
        state.deaths += 1
        tripped = not state.verdicts_paused_at and state.deaths > MOST_DEATHS and _too_many(state)
        if tripped:
            state.verdicts_paused_at = timezone.now()
        if tripped or (state.verdicts_paused_at and state.answers >= GOOD_ANSWERS):
            # While they are paused, each lot of answers is judged by itself.
            state.answers = state.deaths = 0
        state.save()
        return state, tripped

    state, tripped = in_short_transaction(count)
    if tripped:
        logger.critical(
            "Egnyte refuses so many tokens that its API key may be suspended. Accounts stay "
            "suspect and none is given up. Check the key at Egnyte; verdicts resume by themselves "
            "when its answers are good again, or with "
            "'manage.py egnyte_validate --resume-verdicts'.",
            extra={"event": "verdicts_paused"},
        )
    return state.verdicts_paused_at is None


def is_paused() -> bool:
    """Whether verdicts are paused."""
    return key_state().exclude(verdicts_paused_at=None).exists()


def resume(why: str) -> bool:
    """End a pause; ``False`` if there was none."""
    resumed = bool(
        key_state()
        .exclude(verdicts_paused_at=None)
        .update(verdicts_paused_at=None, answers=0, deaths=0)
    )
    if resumed:
        logger.warning("Verdicts on tokens resume: %s.", why, extra={"event": "verdicts_resumed"})
    return resumed


def _too_many(state: KeyState) -> bool:
    return state.deaths > MOST_SHARE * state.answers
