"""Search, one file's page with its lock, links with an expiry, and live changes."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Any, Final

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from django_egnyte.accounts import follow, unfollow
from django_egnyte.decorators import egnyte_required
from django_egnyte.models import EventCursor

from .models import Change
from .views import files_view

FOUND: Final = 50
SHOWN: Final = 50
LOCK: Final = timedelta(hours=1)
DAYS: Final = (1, 7, 30)
ACTIONS: Final = {
    "create": _("Added"),
    "delete": _("Deleted"),
    "move": _("Moved"),
    "copy": _("Copied"),
    "restore": _("Restored"),
}


@require_GET
@files_view
def search(request: Any) -> HttpResponse:
    terms = request.GET.get("q", "").strip()
    context: dict[str, Any] = {"terms": terms}
    try:
        context["hits"] = list(islice(request.egnyte.search(terms), FOUND))
    except ValueError:
        context["problem"] = gettext("Type 3 to 100 characters.")
    return render(
        request, "files/search.html", context, status=400 if "problem" in context else 200
    )


@require_GET
@files_view
def file(request: Any) -> HttpResponse:
    path = request.GET.get("path", "")
    context = {
        "file": request.egnyte.files.info(path),
        "lock": request.egnyte.files.lock_info(path),
        "folder": path.rpartition("/")[0] or "/",
    }
    return render(request, "files/file.html", context)


@require_POST
@files_view
def lock(request: Any) -> HttpResponse:
    """Lock a file for an hour, or unlock it. The owner of a lock needs no token to unlock."""
    path = request.POST.get("path", "")
    if "unlock" in request.POST:
        request.egnyte.files.unlock(path)
        messages.success(request, gettext("The file is unlocked."))
    else:
        request.egnyte.files.lock(path, seconds=int(LOCK.total_seconds()))
        messages.success(request, gettext("The file is locked for an hour."))
    return redirect(f"{reverse('files:file')}?{urlencode({'path': path})}")


@require_http_methods(["GET", "POST"])
@egnyte_required(scopes=["Egnyte.link"])
@files_view
def share(request: Any) -> HttpResponse:
    """Create a link that expires. The app requests the scope when a user first shares a file."""
    given = request.POST if request.method == "POST" else request.GET
    path, days = given.get("path", ""), given.get("days", "")
    context: dict[str, Any] = {"path": path, "name": path.rpartition("/")[2], "days": DAYS}
    if request.method == "POST" and days in map(str, DAYS):
        last = timezone.now().date() + timedelta(days=int(days))
        context["link"] = request.egnyte.links.create(path, expiry_date=last)
    return render(request, "files/share.html", context)


@require_http_methods(["GET", "POST"])
@files_view
def changes(request: Any) -> HttpResponse:
    """The stored events of the account. The page's script reloads them; the worker polls Egnyte
    every five minutes."""
    account = request.egnyte.account
    if request.method == "POST":
        if "stop" in request.POST:
            unfollow(account)
        else:
            # Begin with an earlier event, so that the page is not empty at first.
            cursor = request.egnyte.events.cursor()
            recent = cursor.latest_event_id - SHOWN
            follow(account, after=max(recent, cursor.oldest_event_id - 1))
        return redirect("files:changes")
    rows = list(Change.objects.filter(account=account).order_by("-event_id")[:SHOWN])
    for row in rows:
        row.label = ACTIONS.get(row.action, row.action)
    followed = EventCursor.objects.filter(account_ref=account.pk).exists()
    return render(request, "files/changes.html", {"rows": rows, "followed": followed})
