from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest

from django_egnyte.secret import Secret

TEXT = "68zc95e3xv954u6k3hbnma3q"


def test_only_reveal_gives_the_text() -> None:
    assert Secret(TEXT).reveal() == TEXT


@pytest.mark.parametrize(
    "shown",
    [
        str,
        repr,
        ascii,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!s:>40}",
        lambda secret: "%s %r" % (secret, [secret]),  # noqa: UP031
        lambda secret: str({"token": secret}),
        lambda secret: json.dumps({"token": secret}, default=str),
        lambda secret: str(getattr(secret, "__dict__", "")),
    ],
)
def test_nothing_else_shows_it(shown) -> None:
    assert TEXT not in shown(Secret(TEXT))


def test_a_traceback_with_local_variables_does_not_show_it() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError(secret)

    try:
        fail(Secret(TEXT))
    except ValueError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert TEXT not in "".join(told.format())
    assert "<secret>" in "".join(told.format())


def test_a_log_record_does_not_show_it(caplog) -> None:
    logging.getLogger("anything").error("refused %s", Secret(TEXT), extra={"found": Secret(TEXT)})
    assert TEXT not in caplog.text
    assert TEXT not in str(vars(caplog.records[0]))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps([Secret(TEXT)], protocol)


def test_a_copy_is_itself() -> None:
    secret = Secret(TEXT)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"token": secret})["token"] is secret


def test_equal_texts_are_equal_secrets_and_no_text_is_one() -> None:
    assert Secret(TEXT) == Secret(TEXT) != Secret("other")
    assert hash(Secret(TEXT)) == hash(Secret(TEXT))
    assert Secret(TEXT) != TEXT
    assert Secret("\ud800") != Secret("ä")


def test_it_is_true_when_it_holds_a_text() -> None:
    assert Secret(TEXT) and not Secret() and not Secret("")
