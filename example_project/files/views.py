"""A file browser on ``request.egnyte``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from django_egnyte.decorators import egnyte_required
from django_egnyte.exceptions import (
    ConflictError,
    EgnyteError,
    ForbiddenError,
    InvalidPathError,
    LockedError,
    NotFoundError,
    NotLinkedError,
    RateLimitedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)

START: Final = "/Shared"
SHOWN: Final = 500

View = Callable[[Any], HttpResponseBase]

WORDS: Final = (
    (NotFoundError, 404, _("Egnyte has no such file or folder, or you may not see it.")),
    (ForbiddenError, 403, _("Egnyte does not allow you to do this here.")),
    (ConflictError, 409, _("There is a file or folder of this name already.")),
    (LockedError, 423, _("Somebody has locked this file. Please try again later.")),
    (TooLargeError, 413, _("This file is too large.")),
    (InvalidPathError, 400, _("Egnyte does not accept this name. Please choose another.")),
    (RateLimitedError, 503, _("Egnyte takes no more requests right now. Please wait a minute.")),
    (UnavailableError, 503, _("Egnyte does not answer right now. Please try again in a minute.")),
    (EgnyteError, 502, _("Egnyte refused this without a reason. Please try again.")),
)


def files_view(view: View) -> View:
    """Decorator for views that need a linked account. Errors of Egnyte become a page."""

    @login_required
    @egnyte_required
    @functools.wraps(view)
    def wrapped(request: Any) -> HttpResponseBase:
        try:
            return view(request)
        except (NotLinkedError, UnauthorizedError):
            raise  # EgnyteMiddleware redirects the user to the connect page
        except EgnyteError as error:
            status, words = next(row[1:] for row in WORDS if isinstance(error, row[0]))
        if request.method == "POST":
            messages.error(request, words)
            return redirect(address(request.POST.get("folder", START)))
        return render(request, "files/problem.html", {"problem": words}, status=status)

    return wrapped


def home(request: Any) -> HttpResponse:
    """The files of users with a linked account. For others, a description of the site."""
    if request.egnyte:
        return redirect("files:folder")
    return render(request, "files/home.html")


@require_GET
@files_view
def folder(request: Any) -> HttpResponse:
    listing = request.egnyte.files.list(request.GET.get("path", START), page_size=SHOWN)
    entries = list(islice(listing, SHOWN))
    context = {
        "account": request.egnyte.account,
        "entries": entries,
        "left_out": max((listing.total_count or 0) - len(entries), 0),
        "path": listing.path,
        "trail": trail(listing.path),
    }
    return render(request, "files/folder.html", context)


@require_GET
@files_view
def download(request: Any) -> HttpResponseBase:
    found = request.egnyte.files.open(request.GET.get("path", ""))
    # Always as an attachment: browsers must not show a user's file as a page of this site.
    response = StreamingHttpResponse(found, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, found.file.name)
    if found.file.size is not None:
        response["Content-Length"] = str(found.file.size)
    return response


@require_POST
@files_view
def upload(request: Any) -> HttpResponse:
    into = request.POST.get("folder", START)
    if file := request.FILES.get("file"):
        request.egnyte.files.upload(f"{into.rstrip('/')}/{file.name}", file)
        messages.success(request, gettext("%(name)s was uploaded.") % {"name": file.name})
    else:
        messages.error(request, gettext("Choose a file first."))
    return redirect(address(into))


@require_POST
@files_view
def new_folder(request: Any) -> HttpResponse:
    into, name = request.POST.get("folder", START), request.POST.get("name", "").strip()
    if name and "/" not in name:
        request.egnyte.files.create_folder(f"{into.rstrip('/')}/{name}")
        messages.success(request, gettext("The folder %(name)s was created.") % {"name": name})
    else:
        messages.error(request, gettext("A folder needs a name without slashes."))
    return redirect(address(into))


@require_POST
@files_view
def delete(request: Any) -> HttpResponse:
    path = request.POST.get("path", "")
    request.egnyte.files.delete(path)
    name = path.rpartition("/")[2]
    messages.success(request, gettext("%(name)s was deleted.") % {"name": name})
    return redirect(address(request.POST.get("folder", START)))


def trail(path: str) -> list[tuple[str, str]]:
    """The name and path of each parent folder, beginning at the top."""
    names = [name for name in path.split("/") if name]
    below = [(name, "/" + "/".join(names[: depth + 1])) for depth, name in enumerate(names)]
    return [("Egnyte", "/"), *below]


def address(path: str) -> str:
    return f"{reverse('files:folder')}?{urlencode({'path': path})}"
