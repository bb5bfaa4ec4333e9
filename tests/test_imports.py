"""Which modules a process imports, and when. Each test starts a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import django_egnyte

SITE = """
import importlib.abc, sys
import django
from django.conf import settings

HEAVY = ("celery", "kombu", "requests", "urllib3", "cryptography", "django_egnyte.api.areas")
CONTRIB = ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")
MIDDLEWARE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_egnyte.middleware.EgnyteMiddleware",
)
CONTEXT = (
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
)

settings.configure(
    SECRET_KEY="a secret of the tests, thirty-two characters and more",
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[*(f"django.contrib.{name}" for name in CONTRIB), "django_egnyte"],
    MIDDLEWARE=MIDDLEWARE,
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": CONTEXT},
        }
    ],
    ROOT_URLCONF="tests.urls",
    STATIC_URL="static/",
    EGNYTE_CLIENT_ID="sandbox-code-key",
    EGNYTE_CLIENT_SECRET="sandbox-code-secret",
)

def loaded():
    return sorted(name for name in HEAVY if sys.modules.get(name))
"""
WITHOUT_CELERY = """
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("celery", "kombu", "vine", "billiard", "amqp"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


def printed(*script: str) -> list[str]:
    """The lines that a process with this script prints."""
    root = Path(django_egnyte.__file__).parents[1]
    environ = {
        name: value
        for name, value in os.environ.items()
        if name != "DJANGO_SETTINGS_MODULE" and not name.startswith("CELERY")
    }
    paths = [str(root), str(Path(__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(script)],
        env=environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_site_that_starts_loads_no_package_that_it_does_not_use_yet() -> None:
    lines = printed(
        SITE,
        "django.setup()",
        "print(loaded())",
        "from django.urls import reverse",
        "print(reverse('egnyte:accounts'), loaded())",
        "import django_egnyte.pytest_plugin, django_egnyte.schedules",
        "from django.contrib import admin",
        "admin.site.urls",
        "print(loaded())",
    )
    # The pages need the client, and its methods are in the areas.
    assert lines == ["[]", "/egnyte/ ['django_egnyte.api.areas']", "['django_egnyte.api.areas']"]


def test_each_package_is_loaded_by_what_needs_it() -> None:
    lines = printed(
        SITE,
        "django.setup()",
        "from django_egnyte import queue",
        "queue.hurry('process_revocations')",
        "print(queue.scheduled_tasks(), loaded())",
        "from django_egnyte.fields import seal",
        "from django_egnyte.secret import Secret",
        "seal(Secret('token'), 'context')",
        "print(loaded())",
        "from django_egnyte import http",
        "http.send",
        "print(loaded())",
    )
    assert lines == [
        "None []",
        "['cryptography']",
        "['cryptography', 'requests', 'urllib3']",
    ]


LINK_AND_UNLINK = """
from django.contrib.auth import get_user_model
import io
from django.core.management import call_command
from django.test import Client
from django_egnyte.models import EgnyteAccount
from django_egnyte.sandbox import SandboxServer
from tests import walk

call_command("migrate", stdout=io.StringIO(), verbosity=0)
call_command("check", stdout=io.StringIO(), verbosity=0)
with SandboxServer() as server:
    settings.EGNYTE_BASE_URL = server.base_url
    sandbox = server.sandbox
    client = Client(headers={"Accept": "text/html"})
    client.force_login(get_user_model().objects.create_user("me"))
    print(walk.link(client, sandbox).status_code)
    account = EgnyteAccount.objects.get()
    print(account, account.client.userinfo()["username"])
    call_command("egnyte_validate", all=True, stdout=io.StringIO(), verbosity=0)
    print(client.post(f"/egnyte/{account.pk}/disconnect/").status_code, len(sandbox.live_grants()))
    call_command("egnyte_sweep", stdout=io.StringIO(), verbosity=0)
    print(len(sandbox.live_grants()), loaded())
"""


def test_a_site_without_celery_links_and_sweeps_by_command() -> None:
    lines = printed(SITE, WITHOUT_CELERY, "django.setup()", LINK_AND_UNLINK)
    assert lines == [
        "302",
        "jsmith @ acme.egnyte.com jsmith",
        "302 1",
        "0 ['cryptography', 'django_egnyte.api.areas', 'requests', 'urllib3']",
    ]


def test_a_celery_app_finds_the_tasks_and_gets_the_messages() -> None:
    lines = printed(
        "import django",
        "from tests.celeryapp import app",
        "django.setup()",
        "app.loader.import_default_modules()",
        "from django_egnyte.schedules import BEAT_SCHEDULE",
        "print({entry['task'] for entry in BEAT_SCHEDULE.values()} - set(app.tasks))",
        "from django_egnyte import queue",
        "queue.hurry('process_revocations')",
        "with app.connection_for_read() as connection:",
        "    print(connection.SimpleQueue('celery').get(block=False).headers['task'])",
    )
    assert lines == ["set()", "django_egnyte.tasks.process_revocations"]
