"""A minimal browser: cookies, redirects, forms. Uses only the standard library."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    multipart: bool = False


@dataclass
class Page:
    """An answer, after redirects. ``url`` is the last URL."""

    status: int
    url: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The visible text, without markup and repeated spaces."""
        return " ".join(" ".join(_parsed(self.body).words).split())

    def form(self, action: str) -> Form:
        """The first form with ``action`` in its action; ``LookupError`` if there is none."""
        for form in _parsed(self.body).forms:
            if action in form.action:
                return form
        raise LookupError(
            f"no form for {action} on {self.url.partition('?')[0]}: {self.text[:300]}"
        )

    def link(self, part: str) -> str:
        """The first link with ``part`` in its URL; ``LookupError`` if there is none."""
        for link in _parsed(self.body).links:
            if part in urllib.parse.unquote(link):
                return urllib.parse.urljoin(self.url, link)
        raise LookupError(f"no link to {part} on {self.url.partition('?')[0]}: {self.text[:300]}")


class Browser:
    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )

    def get(self, url: str) -> Page:
        return self._open(urllib.request.Request(url, headers={"Accept": "text/html"}))

    def submit(
        self, page: Page, action: str, *, file: tuple[str, bytes] | None = None, **values: str
    ) -> Page:
        """Fill in the form of ``page`` and submit it, as a browser does."""
        form = page.form(action)
        fields = {**form.fields, **values}
        origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(page.url))
        headers = {"Accept": "text/html", "Origin": origin}
        if form.multipart:
            kind, body = _multipart(fields, file)
            headers["Content-Type"] = kind
        else:
            body = urllib.parse.urlencode(fields).encode()
        url = urllib.parse.urljoin(page.url, form.action)
        return self._open(urllib.request.Request(url, body, headers, method="POST"))

    def _open(self, request: urllib.request.Request) -> Page:
        try:
            answer = self._opener.open(request, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return Page(answer.status or 0, answer.url, answer.read(), dict(answer.headers))


def _multipart(fields: Mapping[str, str], file: tuple[str, bytes] | None) -> tuple[str, bytes]:
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if file is not None:
        name, content = file
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return f"multipart/form-data; boundary={mark}", b"".join(parts) + f"--{mark}--\r\n".encode()


class _Reader(HTMLParser):
    """Collects forms, links and text."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            multipart = given.get("enctype") == "multipart/form-data"
            form = Form(given.get("action", ""), given.get("method", "get"), multipart=multipart)
            self.forms.append(form)
        elif tag == "input" and self.forms and given.get("name"):
            if given.get("type") != "file":
                self.forms[-1].fields.setdefault(given["name"], given.get("value", ""))
        elif tag == "a" and given.get("href"):
            self.links.append(given["href"])

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _parsed(body: bytes) -> _Reader:
    reader = _Reader()
    reader.feed(body.decode("utf-8", errors="replace"))
    return reader
