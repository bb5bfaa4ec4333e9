"""The sandbox's HTML pages. They have no scripts. All text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import urlsplit

STYLE_PATH = "/_sandbox/style.css"

EVERYTHING = "Do everything at Egnyte that you may do yourself"
# The names of these scopes on the pages of django_egnyte.
WORDS = {
    "Egnyte.filesystem": "Read, write and delete files and folders",
    "Egnyte.user": "Create, update and delete users",
    "Egnyte.group": "Create, update and delete groups",
    "Egnyte.audit": "Generate audit reports",
    "Egnyte.link": "Create and delete links to files and folders",
    "Egnyte.permission": "Read and change folder permissions",
    "Egnyte.salesforce": "Work with the Salesforce integration",
    "Egnyte.bookmark": "Read, add and delete bookmarks",
    "Egnyte.launchwebsession": "Open Egnyte web pages as you",
    "Egnyte.webhooks": "Create and delete webhooks",
    "Egnyte.ai": "Use AI at Egnyte",
    "Egnyte.sign": "Work with signature requests",
    "Egnyte.documentportal": "Work with the document portal",
    "Egnyte.uploadrequests": "Work with upload requests",
    "Egnyte.etmf": "Work with eTMF",
    "Egnyte.controlleddocs": "Work with controlled documents",
    "Egnyte.projectfolders": "Work with project folders",
    "Egnyte.integrations": "Work with integrations",
}

STYLE = """\
:root { color-scheme: light dark; --back: #eef2f3; --card: #fff; --text: #17242b; --dim: #566770;
  --line: #d5dee2; --main: #00766c; --on-main: #fff; --bad: #b3261e;
  --flag: #fff3c4; --on-flag: #5c4400; }
@media (prefers-color-scheme: dark) {
  :root { --back: #10181c; --card: #1a252b; --text: #e8eff2; --dim: #a3b3bb; --line: #35454d;
    --main: #4fd1c2; --on-main: #06211e; --bad: #ffb4ab; --flag: #4a3a00; --on-flag: #ffe9a6; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.flag { padding: .5rem 1rem; background: var(--flag); color: var(--on-flag); text-align: center;
  font-size: .875rem; }
main { max-width: 27rem; margin: 0 auto; padding: 2rem 1rem; }
.card { padding: 1.5rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; }
h1 { margin: 0 0 .25rem; font-size: 1.375rem; line-height: 1.3; overflow-wrap: anywhere; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
ul { margin: .5rem 0 1.25rem; padding-inline-start: 1.25rem; }
.dim { color: var(--dim); font-size: .875rem; }
.bad { color: var(--bad); font-weight: 600; }
label { display: block; margin: .875rem 0 .25rem; font-weight: 600; }
input { width: 100%; padding: .625rem .75rem; border: 1px solid var(--dim); border-radius: .5rem;
  background: transparent; color: inherit; font: inherit; }
.buttons { display: flex; flex-flow: row-reverse wrap; gap: .75rem; margin-top: 1.25rem; }
button { flex: 1 1 8rem; min-height: 2.75rem; padding: .5rem 1rem; border: 1px solid var(--main);
  border-radius: .5rem; background: transparent; color: var(--main); font: inherit;
  font-weight: 600; cursor: pointer; }
button.main { background: var(--main); color: var(--on-main); }
input:focus-visible, button:focus-visible, summary:focus-visible { outline: 3px solid var(--main);
  outline-offset: 2px; }
details { margin-top: 1.25rem; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .875em; }
"""


def consent(
    *,
    action: str,
    application: str,
    domain: str,
    scopes: Iterable[str],
    redirect_uri: str,
    username: str,
    users: Iterable[str],
    wrong: bool,
) -> str:
    """The consent page: log in, then allow or deny the request."""
    scopes = tuple(scopes)
    wanted = [WORDS.get(scope, scope) for scope in scopes] if scopes else [EVERYTHING]
    items = "".join(f"<li>{escape(text)}</li>" for text in wanted)
    problem = (
        '<p class="bad" role="alert">The username or the password is wrong.</p>' if wrong else ""
    )
    names = ", ".join(f"<code>{escape(name)}</code>" for name in users)
    return _page(
        f"{application} asks for access",
        f"""<h1>Let {escape(application)} use your Egnyte account?</h1>
<p class="dim">Domain <strong>{escape(domain)}</strong></p>
<p>This application will be able to:</p>
<ul>{items}</ul>{problem}
<form method="post" action="{escape(action)}">
<label for="username">Username</label>
<input id="username" name="username" value="{escape(username)}" autocomplete="username"
 autocapitalize="none" spellcheck="false" autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password">
<div class="buttons"><button class="main" name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button></div>
</form>
<p class="dim">You will go back to <code>{escape(urlsplit(redirect_uri).netloc)}</code>.</p>
<details><summary class="dim">Who can log in here?</summary>
<p class="dim">{names}. Their passwords are shown where the sandbox was started.</p></details>""",
    )


def domain_prompt(
    hidden: Mapping[str, str], domain: str, problem: str, domains: Iterable[str]
) -> str:
    """The domain prompt of the Enhanced service."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    )
    wrong = f'<p class="bad" role="alert">{escape(problem)}.</p>' if problem else ""
    known = ", ".join(f"<code>{escape(name)}</code>" for name in domains)
    return _page(
        "Your Egnyte domain",
        f"""<h1>Which Egnyte domain is yours?</h1>
<p class="dim">You log in there in the next step.</p>{wrong}
<form method="get">{fields}
<label for="domain">Domain</label>
<input id="domain" name="domain" value="{escape(domain)}" autocapitalize="none"
 spellcheck="false" required autofocus>
<div class="buttons"><button class="main">Continue</button></div>
</form>
<p class="dim">This sandbox has {known}.</p>""",
    )


def error(message: str) -> str:
    """An error page. The browser is not redirected to the application."""
    return _page(
        "Not possible",
        f'<h1>This request cannot be granted</h1><p class="bad">{escape(message)}</p>'
        '<p class="dim">Go back to the application and try again.</p>',
    )


def index(domains: Iterable[str]) -> str:
    """The page at the sandbox's root."""
    known = "".join(f"<li><code>{escape(name)}</code></li>" for name in domains)
    return _page(
        "Egnyte sandbox",
        "<h1>Egnyte sandbox</h1><p>This server simulates Egnyte. It has these domains:</p>"
        f"<ul>{known}</ul>",
    )


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - Egnyte sandbox</title>
<link rel="stylesheet" href="{STYLE_PATH}"><link rel="icon" href="data:,"></head>
<body>
<header class="flag">Egnyte sandbox: this is not Egnyte. Never type a real password here.</header>
<main><div class="card">{body}</div></main></body></html>
"""
