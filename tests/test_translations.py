"""The catalogues are complete and compiled, and the pages speak their languages.

``tox -e messages,messages-example`` brings the catalogues up to date.
"""

from __future__ import annotations

import ast
import gettext
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Field
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise

import django_egnyte
from django_egnyte import exceptions
from django_egnyte.models import EgnyteAccount

PACKAGE = Path(django_egnyte.__file__).parent
EXAMPLE = Path(__file__).resolve().parent.parent / "example_project"
LANGUAGES = ["de", "pl"]
translated = pytest.mark.parametrize("root", [PACKAGE, EXAMPLE], ids=["package", "example"])


@pytest.fixture(autouse=True)
def _no_language_stays() -> Iterator[None]:
    """Restore the language, because requests of the test client do not."""
    with translation.override(translation.get_language()):
        yield


@dataclass
class Message:
    """One entry of a catalogue; ``texts`` are its translations, one for each plural form."""

    msgid: str = ""
    plural: str = ""
    fuzzy: bool = False
    texts: list[str] = field(default_factory=list)


def catalogue(path: Path) -> dict[str, Message]:
    """The entries of a ``.po`` file, without its header."""
    entries: dict[str, Message] = {}
    for paragraph in path.read_text().split("\n\n"):
        entry, kind = Message(fuzzy="#, fuzzy" in paragraph), ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                assert not line.startswith("#~"), f"obsolete: {line}"
                continue
            keyword, quote, rest = line.partition('"')
            text = ast.literal_eval(quote + rest)
            if keyword := keyword.strip():
                kind = keyword
                if kind.startswith("msgstr"):
                    entry.texts.append("")
            if kind == "msgid":
                entry.msgid += text
            elif kind == "msgid_plural":
                entry.plural += text
            else:
                entry.texts[-1] += text
        if entry.msgid:
            entries[entry.msgid] = entry
    return entries


def po(root: Path, language: str) -> Path:
    return root / "locale" / language / "LC_MESSAGES" / "django.po"


@translated
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(root: Path, language: str) -> None:
    forms = {"de": 2, "pl": 4}[language]
    found = catalogue(po(root, language))
    assert len(found) > (200 if root == PACKAGE else 40)
    for entry in found.values():
        assert not entry.fuzzy, entry.msgid
        assert len(entry.texts) == (forms if entry.plural else 1), entry.msgid
        assert all(text.strip() for text in entry.texts), entry.msgid


@translated
@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_keep_placeholders_and_tags(root: Path, language: str) -> None:
    for entry in catalogue(po(root, language)).values():
        for text in entry.texts:
            for pattern in (r"%\(\w+\)[sd]", r"</?\w+>", r"[A-Z]+_[A-Z_]+"):
                assert sorted(re.findall(pattern, text)) == sorted(re.findall(pattern, entry.msgid))
            assert text[-1:] == entry.msgid[-1:] or text[-1] not in ".:?" or entry.plural


@translated
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_catalogue_is_up_to_date(root: Path, language: str) -> None:
    with po(root, language).with_suffix(".mo").open("rb") as file:
        compiled: dict[Any, str] = dict(gettext.GNUTranslations(file)._catalog)  # type: ignore[attr-defined]
    compiled.pop("")
    written: dict[Any, str] = {}
    for entry in catalogue(po(root, language)).values():
        if entry.plural:
            written |= {(entry.msgid, form): text for form, text in enumerate(entry.texts)}
        else:
            written[entry.msgid] = entry.texts[0]
    assert compiled == written


@translated
def test_the_catalogues_have_every_text(root: Path, tmp_path: Path) -> None:
    if shutil.which("xgettext") is None:
        pytest.skip("gettext is not installed")
    copy = tmp_path / root.name
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("__pycache__", "var"))
    # -P: the package's module "queue" would otherwise be in the way of Python's.
    arguments = ["makemessages", "--locale", "de", "--no-location"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "django", *arguments],
        cwd=copy,
        env={k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    extracted = set(catalogue(copy / "locale" / "de" / "LC_MESSAGES" / "django.po"))
    for language in LANGUAGES:
        assert set(catalogue(po(root, language))) == extracted


def test_texts_are_marked_by_names_that_makemessages_knows() -> None:
    known = {"gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "_"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
                for alias in node.names:
                    if "gettext" in alias.name:
                        assert (alias.asname or alias.name) in known, path


def oauth_errors() -> list[type[exceptions.OAuthError]]:
    return [exceptions.OAuthError, *exceptions.OAuthError.__subclasses__()]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", oauth_errors(), ids=lambda kind: kind.__name__)
def test_what_an_error_tells_the_user_is_translated(
    kind: type[exceptions.OAuthError], language: str
) -> None:
    with translation.override(language):
        assert translation.gettext(kind.user_hint) != kind.user_hint


@pytest.mark.parametrize(
    ("language", "heading", "button", "label"),
    [
        ("de", "<h1>Egnyte-Konten</h1>", "Erneut verbinden", "Dateien und Ordner lesen"),
        ("pl", "<h1>Konta Egnyte</h1>", "Połącz ponownie", "Odczytywać, zapisywać"),
    ],
)
def test_the_accounts_page_speaks_the_language(
    client: Client,
    egnyte_account: EgnyteAccount,
    language: str,
    heading: str,
    button: str,
    label: str,
) -> None:
    client.force_login(egnyte_account.user)
    response = client.get(reverse("egnyte:accounts"), headers={"Accept-Language": language})
    page = response.content.decode()
    assert f'<html lang="{language}"' in page
    for text in (heading, button, label):
        assert text in page
    assert "Reconnect" not in page


def test_what_the_admin_shows_of_a_row_is_marked_for_translation(rf: RequestFactory) -> None:
    ours = [each for each in site._registry.values() if each.opts.app_label == "django_egnyte"]
    assert len(ours) == 3
    for each in ours:
        assert isinstance(each.search_help_text, Promise | None), each
        names = [*flatten_fieldsets(each.get_fieldsets(rf.get("/"))), *each.list_display]
        for shown in each.opts.get_fields():
            if isinstance(shown, Field) and shown.name in names:
                assert isinstance(shown.verbose_name, Promise), (each, shown)


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("de", {1: "1 Eintrag blieb", 2: "2 Einträge blieben"}),
        (
            "pl",
            {
                1: "1 pozycja pozostała",
                2: "2 pozycje pozostały",
                5: "5 pozycji pozostało",
                12: "12 pozycji pozostało",
                22: "22 pozycje pozostały",
            },
        ),
    ],
)
def test_plural_forms_are_right(language: str, texts: dict[int, str]) -> None:
    with translation.override(language):
        for number, text in texts.items():
            said = translation.ngettext(
                "%(count)d was left as it is: there was nothing to do.",
                "%(count)d were left as they are: there was nothing to do.",
                number,
            )
            assert (said % {"count": number}).startswith(text)
