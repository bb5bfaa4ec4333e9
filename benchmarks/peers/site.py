"""The site of one contender: a long-running process that reads one command per line.

    python -m benchmarks.peers.site CONTENDER PROVIDER

``flow N`` and ``view N`` print a line of JSON: the mean CPU seconds of N requests of each kind.
``queries`` prints the statements of each kind, and ``memory`` the memory of the process in bytes.
"""

from __future__ import annotations

import gc
import io
import json
import os
import sys
import time
import types
from collections import defaultdict
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import dj_database_url
import django
from django.conf import settings

from .contenders import CONTENDERS, Contender
from .shares import Sampler

CONTRIB = ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")
MIDDLEWARE = (
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
)
CONTEXT = (
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
)
CSRF = "c" * 32
CALLS = 20_000
"""The repetitions for one figure of the middleware."""


def configure(contender: Contender, provider: str, folder: Path) -> None:
    database = os.environ.get("DATABASE_URL") or f"sqlite:///{folder / 'site.sqlite3'}"
    settings.configure(
        SECRET_KEY="a key of the benchmark, thirty-two characters and more",
        ALLOWED_HOSTS=["site.test"],
        DATABASES={"default": _database(database)},
        INSTALLED_APPS=[*(f"django.contrib.{name}" for name in CONTRIB), *contender.apps],
        MIDDLEWARE=[*MIDDLEWARE, *contender.middleware],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": CONTEXT},
            }
        ],
        ROOT_URLCONF=_urls(contender),
        STATIC_URL="static/",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        LOGGING_CONFIG=None,
        PROVIDER=provider,
        **contender.settings(provider),
    )
    django.setup()


def _database(url: str) -> dict[str, Any]:
    database: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=None))
    if database["ENGINE"].endswith("sqlite3"):
        database["OPTIONS"] = {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
        }
    return database


def _urls(contender: Contender) -> Any:
    """The URLconf. It is built late, because the views need the settings."""
    module: Any = types.ModuleType("site_urls")

    def patterns() -> list[Any]:
        from django.http import HttpRequest, HttpResponse
        from django.urls import path

        def user(request: HttpRequest) -> HttpResponse:
            return HttpResponse(str(request.user.pk))

        def token(request: HttpRequest) -> HttpResponse:
            return HttpResponse(f"{request.user.pk} {len(contender.token(request))}")

        def home(request: HttpRequest) -> HttpResponse:
            return HttpResponse("home")

        return [
            path("", home),
            path("accounts/profile/", home),
            path("user/", user),
            path("token/", token),
            *contender.urls(),
        ]

    def get(name: str) -> Any:
        if name != "urlpatterns":
            raise AttributeError(name)
        module.urlpatterns = patterns()
        return module.urlpatterns

    module.__getattr__ = get
    return module


class Browser:
    """A browser of one user. It calls the site by WSGI and measures each answer."""

    def __init__(self, application: Callable[..., Any], user: Any) -> None:
        from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
        from django.contrib.sessions.backends.db import SessionStore

        self.application = application
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        self.cookies = {"sessionid": str(session.session_key), "csrftoken": CSRF}
        self.seconds = 0.0

    def ask(self, method: str, url: str, data: dict[str, Any] | None = None) -> str:
        """The Location of the answer, or its body if it is not a redirect."""
        environ = self._environ(method, url, urlencode(data or {}).encode())
        answer: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], *args: Any) -> None:
            answer.update(status=status, headers=headers)

        began = time.process_time()
        body = self.application(environ, start_response)
        text = b"".join(body)
        body.close()
        self.seconds = time.process_time() - began
        self._keep(answer["headers"])
        if answer["status"][0] not in "23":
            raise RuntimeError(f"{method} {url}: {answer['status']} {text.decode()[:2000]}")
        return dict(answer["headers"]).get("Location", text.decode())

    def _environ(self, method: str, url: str, body: bytes) -> dict[str, Any]:
        parts = urlsplit(url)
        return {
            "REQUEST_METHOD": method,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "SERVER_NAME": "site.test",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "site.test",
            "HTTP_ACCEPT": "text/html",
            "HTTP_REFERER": "https://site.test/",
            "HTTP_X_CSRFTOKEN": self.cookies["csrftoken"],
            "HTTP_COOKIE": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "https",
            "wsgi.errors": sys.stderr,
        }

    def _keep(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            if name == "Set-Cookie":
                for key, morsel in SimpleCookie(value).items():
                    self.cookies[key] = morsel.value


class Site:
    def __init__(self, contender: Contender, provider: str) -> None:
        from django.core.wsgi import get_wsgi_application

        self.contender = contender
        self.provider = provider
        self.application: Callable[..., Any] = get_wsgi_application()
        self.users = 0

    def flow(self, times: int) -> dict[str, float]:
        """``times`` new users link, disconnect and link again. Then each user is deleted."""
        spent: dict[str, float] = defaultdict(float)

        def note(name: str, work: Callable[[], Any]) -> None:
            spent[name] += work() / times

        for _ in range(times):
            self._one(note)
        began = time.process_time()
        self.contender.after_round()
        spent["worker"] = (time.process_time() - began) / (2 * times)
        return spent

    def named(self, times: int) -> dict[str, float]:
        """As ``flow``, with a provider whose token answer names the scopes."""
        self._control("policy", answer_scope=True)
        try:
            return self.flow(times)
        finally:
            self._control("policy", answer_scope=False)

    def shares(self, times: int) -> dict[str, dict[str, float]]:
        """The percentages of the parts of a link with its end, and of a view with a token."""

        def weigh(path: str) -> tuple[str, int]:
            if path in ("/user/", "/token/"):
                return "a token in a view", int(path == "/token/")
            # Each user of ``flow`` links twice and disconnects once.
            return "link and unlink", 2 if path.endswith("/disconnect/") else 1

        self.flow(3)
        with Sampler(self.application, weigh) as sampler:
            self.application = sampler
            for _ in range(times):
                self.flow(10)
                self.view(100)
        return sampler.percentages()

    def _one(self, note: Callable[[str, Callable[[], float]], None]) -> None:
        user, browser = self._newcomer()
        location = ""

        def start() -> float:
            nonlocal location
            location = browser.ask("POST", self.contender.start, dict(self.contender.start_data))
            return browser.seconds

        def callback() -> float:
            browser.ask("GET", back)
            return browser.seconds

        def disconnect() -> float:
            path, data = self.contender.disconnect(self.contender.linked(user))
            browser.ask("POST", path, data)
            return browser.seconds

        def delete() -> float:
            again = type(user).objects.get(pk=user.pk)
            began = time.process_time()
            again.delete()
            return time.process_time() - began

        note("start", start)
        back = self._consented(location)
        note("callback", callback)
        note("disconnect", disconnect)
        location = browser.ask("POST", self.contender.start, dict(self.contender.start_data))
        browser.ask("GET", self._consented(location))
        self.contender.linked(user)
        note("delete", delete)

    def view(self, times: int) -> dict[str, float]:
        """The cost of a token in a view, compared with a view that only reads the user."""
        user, browser = self._newcomer()
        location = browser.ask("POST", self.contender.start, dict(self.contender.start_data))
        browser.ask("GET", self._consented(location))
        spent: dict[str, float] = defaultdict(float)
        for _ in range(times):
            for path, sign in (("/user/", -1), ("/token/", 1)):
                browser.ask("GET", path)
                spent["token"] += sign * browser.seconds / times
        user.delete()
        spent["middleware"] = self._middleware()
        return spent

    def queries(self) -> dict[str, int]:
        """The statements of each step, without those that begin and end transactions."""
        from django.db import connection

        made: dict[str, int] = {}
        count = 0

        def counting(execute: Any, sql: str, *args: Any) -> Any:
            nonlocal count
            count += not sql.upper().startswith(
                ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET ")
            )
            return execute(sql, *args)

        def note(name: str, work: Callable[[], Any]) -> None:
            nonlocal count
            count = 0
            with connection.execute_wrapper(counting):
                # The benchmark itself looks for the link, and for the user.
                count -= name in ("disconnect", "delete")
                work()
            made[name] = count

        self._one(note)
        user, browser = self._newcomer()
        browser.ask(
            "GET",
            self._consented(
                browser.ask("POST", self.contender.start, dict(self.contender.start_data))
            ),
        )
        note("user", lambda: browser.ask("GET", "/user/"))
        note("token", lambda: browser.ask("GET", "/token/"))
        made["token"] -= made.pop("user")
        user.delete()
        self.contender.after_round()
        return made

    def memory(self) -> dict[str, int]:
        gc.collect()
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return {"memory": int(line.split()[1]) * 1024}
        return {"memory": 0}

    def _middleware(self) -> float:
        """The seconds that the contender's middleware adds to a request that does not use it."""
        from django.http import HttpRequest, HttpResponse
        from django.utils.module_loading import import_string

        answer = HttpResponse()
        request = HttpRequest()

        def view(request: HttpRequest) -> HttpResponse:
            return answer

        chain: Any = view
        for path in reversed(self.contender.middleware):
            chain = import_string(path)(chain)
        spent = []
        for handler in (view, chain):
            began = time.process_time()
            for _ in range(CALLS):
                handler(request)
            spent.append(time.process_time() - began)
        return (spent[1] - spent[0]) / CALLS

    def _newcomer(self) -> tuple[Any, Browser]:
        from django.contrib.auth import get_user_model

        self.users += 1
        # With a password, because the others do not remove the last link of a user without one.
        user = get_user_model()(username=f"user-{time.time_ns()}", password="md5$x$y")
        user.save()
        return user, Browser(self.application, user)

    def _consented(self, location: str) -> str:
        """The user allows access at the provider. Returns the redirect URL."""
        answer = self._control("authorize", url=location, username="jsmith")
        parts = urlsplit(answer["location"])
        return f"{parts.path}?{parts.query}"

    def _control(self, name: str, **values: Any) -> dict[str, Any]:
        """Call the sandbox's own address ``name``."""
        url = self.provider.partition("/d/")[0] + f"/_sandbox/{name}"
        request = Request(url, json.dumps(values).encode(), {"Content-Type": "application/json"})
        with urlopen(request) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def main(name: str, provider: str, folder: str) -> None:
    contender = CONTENDERS[name]
    configure(contender, provider, Path(folder))
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    if name == "egnyte":
        from celery import Celery

        broker = os.environ.get("EGNYTE_BENCHMARK_BROKER", "memory://")
        Celery("site", broker=broker, set_as_current=True)
    site = Site(contender, provider)
    print("ready", flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        answer = getattr(site, command)(*map(int, arguments))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
