"""The page of the user's linked accounts, and its actions."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from ..models import EgnyteAccount
from ..services import disconnect as disconnecting
from .pages import egnyte_page, safe_next


@egnyte_page(["GET", "HEAD"])
def accounts(request: HttpRequest) -> HttpResponse:
    """``egnyte:accounts``: lists the user's accounts."""
    linked = EgnyteAccount.objects.for_user(request.user).order_by("-is_default", "domain", "pk")
    return render(request, "egnyte/accounts.html", {"accounts": linked})


@egnyte_page(["POST"])
def disconnect(request: HttpRequest, pk: int) -> HttpResponse:
    """``egnyte:disconnect``: disconnect an account of the user. 404 for anybody else's."""
    actor = f"user:{request.user.pk}"
    account = disconnecting.disconnect(pk, actor=actor, user=request.user)
    if account is None:
        raise Http404
    text = _("%(account)s was disconnected.") % {"account": shown(account)}
    messages.success(request, text, fail_silently=True)
    return redirect("egnyte:accounts")


@egnyte_page(["POST"])
def make_default(request: HttpRequest, pk: int) -> HttpResponse:
    """``egnyte:default``: choose the account of ``request.egnyte``. Redirects to ``next``."""
    account = get_object_or_404(EgnyteAccount.objects.for_user(request.user), pk=pk)
    disconnecting.make_default(request.user, account)
    text = _("This site now uses %(account)s.") % {"account": shown(account)}
    messages.success(request, text, fail_silently=True)
    next_path = safe_next(request, request.POST.get("next", ""))
    # Not redirect(), which could take the path for the name of a view.
    return HttpResponseRedirect(next_path or reverse("egnyte:accounts"))


def shown(account: EgnyteAccount) -> str:
    """The account's name on the pages."""
    return _("%(known_as)s at %(domain)s") % {
        "known_as": account.username or account.egnyte_user_id,
        "domain": account.domain,
    }
