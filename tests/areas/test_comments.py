from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from django_egnyte.api import EgnyteClient
from django_egnyte.exceptions import ForbiddenError, NotFoundError
from tests.areas.conftest import MakeClient, Way

FILE = "/Shared/Documents/welcome.txt"


def test_a_comment_is_written_read_and_deleted(jane: EgnyteClient, way: Way) -> None:
    made = way(jane.comments, "add", FILE, "Looks good to me.")
    assert (made.message, made.username, made.formatted_name) == (
        "Looks good to me.",
        "jsmith",
        "Jane Smith",
    )
    assert made.file_path == FILE and made.can_delete
    assert made.creation_time is not None
    assert abs(datetime.now(UTC) - made.creation_time) < timedelta(minutes=5)
    assert way(jane.comments, "get", made.id) == made
    way(jane.comments, "delete", made.id)
    with pytest.raises(NotFoundError):
        way(jane.comments, "get", made.id)


def test_comments_are_listed_over_pages(jane: EgnyteClient, admin: EgnyteClient, way: Way) -> None:
    texts = [f"number {number}" for number in range(7)]
    for text in texts:
        jane.comments.add(FILE, text)
    listing = jane.comments.list(file=FILE, page_size=3)
    assert [comment.message for comment in way.list(listing)] == texts
    assert way.total(listing) == 7
    assert len(way.list(jane.comments.list(folder="/Shared/Documents/"))) == 7
    assert len(way.list(admin.comments.list())) == 7
    with pytest.raises(ForbiddenError):
        way.list(jane.comments.list())


def test_others_may_not_delete_a_comment(
    jane: EgnyteClient, client_of: MakeClient, way: Way
) -> None:
    comment = jane.comments.add(FILE, "mine")
    bob = client_of("bdoe")
    assert bob.comments.get(comment.id).can_delete is False
    with pytest.raises(ForbiddenError):
        way(bob.comments, "delete", comment.id)


def test_bad_input(jane: EgnyteClient, way: Way) -> None:
    with pytest.raises(ValueError, match="text"):
        way(jane.comments, "add", FILE, "  \n")
    with pytest.raises(ValueError, match="both"):
        jane.comments.list(file=FILE, folder="/Shared")
    with pytest.raises(NotFoundError):
        way(jane.comments, "add", "/Shared/none.txt", "hello")
