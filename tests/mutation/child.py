"""One run of pytest in a process of its own, forked from one that has imported all that it can.

What is imported here must not import this project: a mutant is written before the fork imports it.
Starting pytest, Django and Celery takes longer than the few tests that notice a mutant.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

BEFOREHAND = """
_pytest.assertion.rewrite _pytest.terminal
celery celery.app.amqp celery.app.task celery.app.trace celery.contrib.testing celery.result
click cryptography.fernet cryptography.hazmat.primitives.ciphers.aead dj_database_url
django.conf.locale django.conf.urls.i18n
django.contrib.auth.hashers django.contrib.messages.api django.contrib.sessions.backends.base
django.contrib.staticfiles.finders django.core.cache.backends.locmem django.core.checks
django.core.handlers.asgi django.core.handlers.wsgi django.core.mail django.core.management
django.core.serializers.json django.core.signing django.core.servers.basehttp
django.core.validators django.db.backends.sqlite3.base django.db.migrations.autodetector
django.db.migrations.executor django.db.migrations.loader django.db.models.sql.compiler
django.forms django.forms.models django.middleware.cache django.middleware.csrf
django.shortcuts django.template.backends.django django.template.loader_tags
django.template.defaulttags django.templatetags.i18n django.templatetags.static django.test
django.test.utils django.urls django.utils.log django.views.debug django.views.generic
django.views.i18n email.mime.multipart http.server jinja2 kombu.transport.memory requests
sqlparse unittest.mock urllib3 xml.dom.minidom
"""
for _name in BEFOREHAND.split():
    with contextlib.suppress(ImportError):
        importlib.import_module(_name)

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__])


def run(
    slot: Path, arguments: list[str], environment: Mapping[str, str], limit: float | None
) -> int | None:
    """The exit code of pytest in the folder ``slot``. ``None`` if it took ``limit`` seconds."""
    process = _forks.Process(target=_pytest_in, args=(slot, arguments, environment))
    process.start()
    process.join(limit)
    code = process.exitcode
    # What the tests started, too.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()
    return code


def _pytest_in(slot: Path, arguments: list[str], environment: Mapping[str, str]) -> None:
    os.setsid()
    os.chdir(slot)
    os.environ.clear()
    os.environ.update(environment)
    # This module is in a package of the name that the slot's tests have.
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.path.insert(0, str(slot))
    sys.dont_write_bytecode = False
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code = pytest.main(arguments)
    sys.stdout.flush()
    os._exit(code)
