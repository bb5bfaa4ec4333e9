"""The reference in the docs is complete: its lists are compared with the code."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands

from django_egnyte import exceptions, schedules, signals, tasks, urls
from django_egnyte.api import Download, EgnyteClient, Files
from django_egnyte.choices import EventKind, Purpose, Scope, Status
from django_egnyte.conf import conf
from django_egnyte.models import EgnyteAccount
from django_egnyte.sandbox import Sandbox, SandboxServer, Settings, TokenPolicy, table
from django_egnyte.sandbox.control import HANDLERS
from django_egnyte.sandbox.faults import Faults, Rule
from django_egnyte.secret import Secret
from django_egnyte.services.status import Overview

from .docpages import (
    DOCS,
    PACKAGE,
    PAGES,
    READABLE,
    ROOT,
    names,
    needs_docs,
    page,
    settings_of_the_code,
)

pytestmark = needs_docs

CHECKS = "".join(path.read_text() for path in (PACKAGE / "checks").glob("*.py"))


def test_every_setting_is_in_the_reference() -> None:
    said = re.findall(r"\.\. confval:: (\w+)", page("reference/settings.rst"))
    assert len(said) == len(set(said))
    assert set(said) == settings_of_the_code()


@pytest.mark.parametrize("path", READABLE, ids=names(READABLE))
def test_no_page_names_a_setting_that_is_not_there(path: Path) -> None:
    said = set(re.findall(r"\bEGNYTE_[A-Z_]*[A-Z]\b", path.read_text()))
    assert {name for name in said if not name.startswith("EGNYTE_TEST_")} <= settings_of_the_code()


def test_the_defaults_are_the_ones_that_the_reference_names(settings: Any) -> None:
    for name in settings_of_the_code():
        if hasattr(settings, name):
            delattr(settings, name)
    text = page("reference/settings.rst")
    said = dict(re.findall(r"\.\. confval:: EGNYTE_(\w+)\n   :default: ``(.*)``", text))
    assert len(said) == len(settings_of_the_code()) - 1  # CLIENT_ID has none
    for name, default in said.items():
        value = eval(default, {"timedelta": timedelta})
        if name == "ENCRYPTION_KEYS":
            assert value is None
            assert conf.encryption_keys == [Secret(settings.SECRET_KEY)]
        elif name == "CLIENT_SECRET":
            assert conf.client_secret == Secret(value)
        elif name == "CIPHER":
            assert conf.ciphers == [value]
        else:
            assert getattr(conf, name.lower()) == value


def test_every_known_scope_is_in_the_reference() -> None:
    said = set(re.findall(r"``(Egnyte\.\w+)``", page("reference/settings.rst")))
    assert said == set(Scope.values)


def test_every_check_is_in_the_reference() -> None:
    said = re.findall(r"\* - ``(egnyte\.[EW]\d+)``", page("reference/checks.rst"))
    assert said == sorted(said)
    assert set(said) == set(re.findall(r"egnyte\.[EW]\d+", CHECKS))


def test_checks_that_run_under_deploy_alone_are_marked() -> None:
    from django_egnyte.checks import check_production

    said = set(
        re.findall(r"\* - ``(egnyte\.\w+)``\n     - \*deploy\*", page("reference/checks.rst"))
    )
    assert said == set(re.findall(r"egnyte\.[EW]\d+", inspect.getsource(check_production)))


@pytest.mark.parametrize("path", READABLE, ids=names(READABLE))
def test_no_page_names_a_check_that_is_not_there(path: Path) -> None:
    said = set(re.findall(r"egnyte\.[EW]\d{3}", path.read_text()))
    assert said <= set(re.findall(r"egnyte\.[EW]\d+", CHECKS))


def test_every_command_is_in_the_reference() -> None:
    said = re.findall(r"\* - ``(egnyte_\w+)``", page("reference/commands.rst"))
    assert set(said) == {name for name, app in get_commands().items() if app == "django_egnyte"}


def test_every_exception_is_in_the_reference() -> None:
    tree = page("reference/exceptions.rst").split("All are in")[0]
    said = re.findall(r"^   [│├└ ]*(\w+Error)\b", tree, re.M)
    there = {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert set(said) == there
    # Each is drawn below its parent.
    stack: list[str] = []
    for line in tree.splitlines():
        if found := re.match(r"   ((?:[│├└ ] )*)(\w+Error)\b", line):
            depth = len(found[1]) // 2
            stack[depth:] = [found[2]]
            if depth:
                assert getattr(exceptions, found[2]).__bases__[0].__name__ == stack[depth - 1]


def test_the_token_endpoints_refusals_are_in_the_reference() -> None:
    table = page("reference/exceptions.rst").split("The token endpoint")[1].split("Raw calls")[0]
    rows = re.findall(r"\* - ``(\w+)``.*\n     - (\d+)\n     - ``(\w+)``", table)
    assert len(rows) == 8
    for code, status, name in rows:
        kind = getattr(exceptions, name)
        if name != "InvalidGrantError":
            assert (kind.code, kind.status) == (code, int(status))
            assert kind.hint or name == "MalformedRequestError"
    assert {name for _, _, name in rows} | {"AccessDeniedError"} == {
        each.__name__ for each in exceptions.OAuthError.__subclasses__()
    }


def test_every_url_is_in_the_reference() -> None:
    said = re.findall(r"\* - ``egnyte:(\w+)``", page("reference/pages.rst"))
    assert set(said) == {pattern.name for pattern in urls.urlpatterns}


def test_the_statuses_of_refusals_are_in_the_reference() -> None:
    from django_egnyte.views.pages import STATUS

    table = page("reference/pages.rst").split("The refusals of")[1].split("``access.")[0]
    assert {int(status) for status in re.findall(r"\* - (\d+)\n", table)} == {
        status for _, status in STATUS
    }


def test_every_template_and_its_blocks_are_in_the_reference() -> None:
    table = page("reference/pages.rst").split("* - template")[1]
    said = dict(re.findall(r"\* - ``egnyte/(\w+\.html)``\n     -((?:.*\n)(?: {7}.*\n)*)", table))
    folder = PACKAGE / "templates" / "egnyte"
    assert set(said) == {path.name for path in folder.glob("[!_]*.html")}
    inherited = set(re.findall(r"``(\w+)``", said["base.html"]))
    for name, text in said.items():
        source = re.sub(
            r"{% comment %}.*?{% endcomment %}", "", (folder / name).read_text(), flags=re.S
        )
        there = set(re.findall(r"{% block (\w+) %}", source))
        blocks_said = set(re.findall(r"``(\w+)``", text.split(";")[0]))
        assert there - (inherited if name != "base.html" else set()) == blocks_said


def test_every_signal_is_in_the_reference() -> None:
    said = re.findall(r"\* - ``(\w+)``", page("reference/signals.rst").split("Tasks\n---")[0])
    there = {name for name, value in vars(signals).items() if isinstance(value, signals.Signal)}
    assert set(said) == there


def test_every_task_is_in_the_reference() -> None:
    text = page("reference/signals.rst")
    said = dict(re.findall(r"\* - ``(\w+)\((.*?)\)``", text))
    there = {
        name: ", ".join(inspect.signature(value.run).parameters)
        for name, value in vars(tasks).items()
        if hasattr(value, "delay") and not isinstance(value, type)
    }
    assert said == there
    assert {f"django_egnyte.tasks.{name}" for name in said} == set(schedules.TASK_ROUTES)


def test_every_field_of_the_contract_is_in_the_reference() -> None:
    text = (
        page("reference/models.rst")
        .split("There is at most one")[1]
        .split("(``choices.Status``)")[0]
    )
    said = {
        n for line in re.findall(r"\* - (``.*)\n", text) for n in re.findall(r"``(\w+)``", line)
    }
    fields = {field.name for field in EgnyteAccount._meta.concrete_fields}
    properties = {n for n, v in vars(EgnyteAccount).items() if isinstance(v, property)}
    bookkeeping = {
        "id", "default_of", "email_lower", "known_token", "next_validation_at", "username_lower",
        "validation_attempts",
    }  # fmt: skip
    assert said == (fields | properties) - bookkeeping


def test_every_model_is_in_the_reference() -> None:
    text = page("reference/models.rst")
    for model in apps.get_app_config("django_egnyte").get_models():
        assert f"``{model.__name__}``" in text


def test_the_permissions_named_are_there() -> None:
    there = {
        f"django_egnyte.{name}"
        for model in apps.get_app_config("django_egnyte").get_models()
        for name in [
            *(name for name, _ in model._meta.permissions),
            *(f"{verb}_{model._meta.model_name}" for verb in ("delete", "view")),
        ]
    }
    said = set(re.findall(r"``(django_egnyte\.\w+)``", page("guides/administration.rst")))
    assert said <= there
    acts = {name for name in there if not re.match(r"django_egnyte\.(delete|view)_", name)}
    assert acts <= said


def parameters_of(function: Any) -> str:
    """As the docs write them: without ``self`` and annotations."""
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in list(inspect.signature(function).parameters.values())[1:]
    ]
    return str(inspect.Signature(plain)).removeprefix("(").removesuffix(")").replace("'", '"')


def section_of(name: str, kind: type) -> str:
    """The description of a class on a page."""
    start = rf"\.\. py:class:: [\w.]+\.{kind.__name__}(?:\(.*\))?\n"
    return re.split(r"\.\. py:class::", re.split(start, page(name))[1])[0]


@pytest.mark.parametrize("kind", [Sandbox, SandboxServer, Faults])
def test_the_sandboxs_handle_is_in_the_reference(kind: type) -> None:
    section = re.sub(r" \\\n\s+", " ", section_of("reference/sandbox.rst", kind))
    said = dict(re.findall(r"\.\. py:method:: (\w+)\((.*)\)", section))
    public = {
        name: value
        for each in reversed(kind.__mro__[:-1])
        for name, value in vars(each).items()
        if name[0] != "_"
    }
    internal = {"record", "shelf", "take", "tree"}  # for the sandbox's own application
    assert said == {
        name: parameters_of(value)
        for name, value in public.items()
        if inspect.isfunction(value) and name not in internal
    }
    assert set(re.findall(r"\.\. py:property:: (\w+)", section)) == {
        name for name, value in public.items() if isinstance(value, property)
    }
    made = kind()
    for name in re.findall(r"\.\. py:attribute:: (\w+)", section):
        assert hasattr(made, name)


@pytest.mark.parametrize("kind", [Settings, TokenPolicy])
def test_the_sandboxs_settings_are_in_the_reference(kind: type) -> None:
    section = section_of("reference/sandbox.rst", kind).split("\nFaults\n---")[0]
    said = re.findall(r"\* - ``(\w+)``\n     - ``(.*)``\n", section)
    assert {name: ast.literal_eval(value) for name, value in said} == asdict(kind())


def test_what_is_not_certain_of_egnyte_is_told() -> None:
    table = page("reference/sandbox.rst").split("list-table:: What is not certain")[1]
    unsure = re.findall(r"\* - ``(\w+)``\n     - ``", table.split(".. check")[0])
    assert len(unsure) > 10
    told = page("reference/egnyte.rst")
    assert [name for name in unsure if f"``{name}``" not in told] == []
    rows = re.findall(r"     - ((?:``\w+``(?:, )?)+)\n", told)
    played = {name for row in rows for name in re.findall(r"``(\w+)``", row)}
    assert played <= {field.name for kind in (Settings, TokenPolicy) for field in fields(kind)}


def test_every_field_of_a_fault_is_in_the_reference() -> None:
    section = page("reference/sandbox.rst").split("list-table:: Which requests")[1]
    rows = re.findall(r"\* - (``.*)\n", section.split("code-block")[0])
    said = {name for row in rows for name in re.findall(r"``(\w+)``", row)}
    assert said == {field.name for field in fields(Rule)} - {"id", "hits"}


def test_every_address_of_the_sandbox_is_in_the_reference() -> None:
    said = re.findall(r"``([A-Z]+) (/\S+)``", page("reference/sandbox.rst"))
    assert len(said) == len(set(said))
    rows = [(row.method, row.path) for row in (*table.ROUTES, *table.DOORS)]
    assert sorted(said) == sorted(set(rows))


def test_every_command_to_a_running_sandbox_is_in_the_reference() -> None:
    said = re.findall(r"``(GET|POST|DELETE) (\w+)``", page("reference/sandbox.rst"))
    assert set(said) == set(HANDLERS)


def test_what_downloads_can_do_is_in_the_reference() -> None:
    section = section_of("reference/client.rst", Download)
    said = dict(re.findall(r"\.\. py:method:: (\w+)\((.*)\)", section))
    assert said == {
        name: parameters_of(value)
        for name, value in vars(Download).items()
        if name[0] != "_" and inspect.isfunction(value)
    }


@pytest.mark.parametrize(("values", "title"), [(Status, "status"), (EventKind, "kind")])
def test_every_value_of_a_choice_is_in_the_reference(values: Any, title: str) -> None:
    table = page("reference/models.rst").split(f"   * - {title}\n")[1].split("\n\n")[0]
    assert re.findall(r"\* - ``(\w+)``", table) == values.values


def test_every_figure_of_the_status_is_in_the_reference() -> None:
    table = page("reference/commands.rst").split("* - key\n")[1].split("\n\n")[0]
    said = {
        name for row in re.findall(r"\* - (.*)", table) for name in re.findall(r"``(\w+)``", row)
    }
    assert said == {field.name for field in fields(Overview)}


@pytest.mark.parametrize(("kind", "header"), [(EgnyteClient, "EgnyteClient"), (Files, "Files")])
def test_signatures_in_the_reference_are_those_of_the_code(kind: type, header: str) -> None:
    text = page("reference/client.rst")
    section = text.split(f".. py:class:: django_egnyte.api.{header}\n")[1].split(".. py:class::")[0]
    said = dict(re.findall(r"\.\. py:method:: (\w+)\((.*)\)\n(?!      :no-index)", section))
    for name, parameters in said.items():
        assert parameters_of(getattr(kind, name)) == parameters
    public = {
        name for name, value in vars(kind).items() if name[0] != "_" and inspect.isfunction(value)
    }
    twins = {name for name in public if name[0] == "a" and name[1:] in public}
    for name in public:
        assert f"``{name}``" in text or name in said, name
    silent = {"act_as", "by_id"}  # these methods make no call
    assert twins == {f"a{name}" for name in public - twins - silent}


def test_the_picture_shows_the_layers() -> None:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("pyproject.toml is not beside the tests")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers, core, *_ = contracts["contracts"]
    drawn = re.findall(
        r'<rect class="chip( pure)?" x="\d+" y="(\d+)".*\n.*>(\w+)</text>',
        (DOCS / "_static" / "layers.svg").read_text(),
    )
    assert {name for pure, _, name in drawn if pure} == {
        name.partition(".")[2] for name in core["source_modules"]
    }
    heights = {name: int(y) for _, y, name in drawn}
    assert set(heights) == {n for layer in layers["layers"] for n in layer.split(" | ")}
    tops = [min(heights[name] for name in layer.split(" | ")) for layer in layers["layers"]]
    bottoms = [max(heights[name] for name in layer.split(" | ")) for layer in layers["layers"]]
    assert all(bottom < top for bottom, top in zip(bottoms, tops[1:], strict=False))


def test_events_worth_an_alarm_are_logged() -> None:
    said = re.findall(
        r"\* - ``(\w+)``\n     - (critical|error|warning)", page("guides/production.rst")
    )
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert said
    for event, _ in said:
        assert f'"event": "{event}"' in source, event


def test_every_record_carries_its_event() -> None:
    assert "Records carry ``event``" in page("guides/production.rst")
    calls = [
        node
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger.")
    ]
    assert len(calls) > 10
    for call in calls:
        extra = next((each.value for each in call.keywords if each.arg == "extra"), None)
        assert isinstance(extra, ast.Dict), ast.unparse(call)
        assert "event" in [ast.literal_eval(key) for key in extra.keys if key], ast.unparse(call)


def assert_limits(scale: str) -> None:
    """The ledger's limits for the default of 100 requests an hour are those that the page says."""
    from django_egnyte.services import ledger

    def most(purpose: Purpose, **charge: str) -> list[int]:
        limits = ledger._limits(ledger.Charge(purpose, "acme.egnyte.com", **charge), False)
        return sorted(limit.requests for limit in limits)

    # Failures of the user, the user, failures at the host, all but refreshes, the key.
    assert most(Purpose.LINK, user_ref="1") == [4, 10, 25, 40, 100]
    assert "all together - the limit - 100" in scale
    assert "60 % are left for refreshes - 40 % - 40" in scale
    assert (
        "to connect accounts, for one user of your site - 10 % - 10, of which 5 may fail" in scale
    )
    assert "failed attempts to connect at one host - 25 % - 25" in scale
    assert most(Purpose.REFRESH) == [25, 100]
    assert "failed refreshes at one host - 25 % - 25" in scale
    assert most(Purpose.REVOKE) == most(Purpose.PROOF) == [10, 25, 40, 100]
    assert "to revoke the grant - 10 % - 10" in scale
    assert "whether Egnyte accepts the API key - 10 % - 10" in scale
    assert ledger.PER_USERNAME == 10
    assert "(password flow) - 10 - 10, of which 5 may fail" in scale
    assert ledger.SEVERAL_HOSTS == 3
    assert "at three hosts at the same time: then the app sends no token requests" in scale


@pytest.mark.django_db
def test_numbers_said_are_those_of_the_code() -> None:
    from django_egnyte import conf as limits
    from django_egnyte.services import agenda, keys, runner, sweep

    scale, architecture = (
        " ".join(page(name).split()) for name in ("guides/scale.rst", "architecture.rst")
    )
    assert (sweep.CHUNK, sweep.BATCH, sweep.THREADS, sweep.PER_DOMAIN) == (500, 250, 8, 20_000)
    assert "chunks of 500" in scale
    assert "batches of 250" in scale
    assert "eight threads" in scale
    assert "20,000 accounts of one domain" in scale
    assert sweep.SLICE == 120
    assert "After two minutes (``--seconds``) each part starts no new work" in scale
    assert_limits(scale)
    assert runner.Pass("x", seconds=120, put_off=print)._share == 30
    assert "no host more than a quarter" in scale
    assert f"{tasks.INTERACTIVE['soft_time_limit']} and {tasks.INTERACTIVE['time_limit']}" in scale
    assert f"{tasks.SWEEP['soft_time_limit']} and {tasks.SWEEP['time_limit']}" in scale
    assert f"{100 * 24 * 30:,} accounts" in scale
    assert keys.WITNESSES == 3
    assert "up to three other accounts" in page("guides/administration.rst")
    assert (agenda.FIRST_WAIT, agenda.HOUR) == (60, 3600)
    assert "tries again after one minute, then after two, and so on, up to an hour" in scale
    assert limits.IN_FLIGHT == 15 * 60
    assert "15 minutes ahead" in architecture
    for value in (
        limits.TOKEN_DEADLINE,
        limits.LONGEST_VALIDATION,
        limits.TASK_SOFT_TIME_LIMIT,
        limits.TASK_TIME_LIMIT,
    ):
        assert f"{value} s" in architecture
    assert f"lease {limits.LEASE} s" in architecture
    asked = (limits.TOKEN_DEADLINE, limits.TOKEN_DEADLINE, limits.PROBE_DEADLINE)
    callback = f"it may take {sum(asked) + limits.WRITE_PATIENCE} seconds"
    assert callback in " ".join(page("guides/production.rst").split())


def test_bounds_said_are_those_of_the_checks() -> None:
    from django_egnyte import checks

    text = " ".join(page("reference/settings.rst").split())
    said = dict(re.findall(r"\.\. confval:: EGNYTE_(\w+) :default: (.*?)(?=\.\. confval|$)", text))
    assert f"above 0 and below {checks.SILENCE}," in said["TIMEOUT"]
    assert f"From 0 to {checks.MOST_RETRIES}." in said["MAX_RETRIES"]
    assert f"From 0 to {checks.HOUR:,}." in said["MAX_THROTTLE_WAIT"]
    assert f"{checks.LONGEST.days} days at most" in said["VALIDATE_EVERY"]
    assert f"From zero to {checks.LONGEST.days} days" in said["REFRESH_BEFORE"]
    assert f"From 1 to {checks.MOST_REQUESTS:,}." in said["TOKEN_REQUESTS_PER_HOUR"]


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_no_page_has_its_own_contents(path: Path) -> None:
    """The theme shows the contents, and reports an error in a page that repeats them."""
    assert ".. contents::" not in path.read_text()


def test_pages_are_linked() -> None:
    """Every page is in the table of contents, and the README's links lead somewhere."""
    toc = page("index.rst")
    for path in PAGES:
        name = str(path.relative_to(DOCS).with_suffix(""))
        assert name == "index" or re.search(rf"^   {re.escape(name)}$", toc, re.M), name
    if (readme := ROOT / "README.rst").exists():
        targets = re.findall(r"readthedocs\.io/en/latest/([^>]+)\.html>", readme.read_text())
        assert targets
        for target in targets:
            assert (DOCS / f"{target}.rst").exists(), target
