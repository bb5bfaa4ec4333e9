"""The acts of administrators on rows: an action of the list and a button of the row's page.

Each act has its own permission and its own service. It is recorded twice: the service writes an
``AccountEvent``, and the admin writes Django's log entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext, unquote
from django.core.exceptions import PermissionDenied
from django.db import connections, models, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.csrf import csrf_protect

from .paging import EstimatingPaginator

if TYPE_CHECKING:
    from django.utils.datastructures import _ListOrTuple
    from django.utils.functional import _StrOrPromise

    RowAdmin = admin.ModelAdmin[Any]
    # Of any length, or mypy would refuse a site's subclass that adds to an option.
    Options = _ListOrTuple[Any]
else:
    RowAdmin = admin.ModelAdmin

MOST_AT_ONCE: Final = 500
"""Below Django's DATA_UPLOAD_MAX_NUMBER_FIELDS. One request does so many in seconds."""


@dataclass(frozen=True)
class Act:
    """``service`` takes the row and the actor, and returns whether there was anything to do.

    The permission is ``<name>_<model>``. ``question`` is the text of a confirmation page, which is
    shown only if there is a question.
    """

    name: str
    label: _StrOrPromise
    done: _StrOrPromise
    service: Callable[[Any, str], bool]
    applies: Callable[[Any], bool]
    question: _StrOrPromise = ""


def actor_of(request: HttpRequest) -> str:
    return f"admin:{request.user.pk}"


class ActingAdmin(RowAdmin):
    """A model's admin with ``acts``, without adding rows, and without transactions around pages.

    Services open short transactions of their own. They refuse to run inside that of
    ``ATOMIC_REQUESTS`` or the one that Django opens around a change or a deletion.
    """

    acts: Sequence[Act] = ()
    change_form_template = "admin/django_egnyte/change_form.html"
    ordering: ClassVar[Options | None] = ("-pk",)
    paginator = EstimatingPaginator
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    list_per_page = 50

    class Media:
        css = {"all": ["egnyte/admin.css"]}

    def may(self, name: str, request: HttpRequest, row: Any = None) -> bool:
        """Whether the administrator has the permission ``<name>_<model>`` and may view ``row``.

        Without a row: whether they have the permission and may view the list.
        """
        if not self.has_view_permission(request, row):
            return False
        permission = f"{self.opts.app_label}.{name}_{self.opts.model_name}"
        # Users of the admin have this method; the base class in django-stubs lacks it.
        return request.user.has_perm(permission)  # pyright: ignore[reportAttributeAccessIssue]

    def _permits(self, act: Act, request: HttpRequest, row: Any = None) -> bool:
        """Call ``has_<name>_permission`` as Django does for actions: sites can override it."""
        allowed: bool = getattr(self, f"has_{act.name}_permission")(request, row)
        return allowed and self.has_view_permission(request, row)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_view_or_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Without the view permission, the change permission does not show a row."""
        return self.has_view_permission(request, obj)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Refuse filters by tokens and seals in the list's URL, which could guess their values."""
        if {"access_token", "refresh_token", "seal_id"} & set(lookup.split("__")):
            return False
        return super().lookup_allowed(lookup, value, request)

    # Lists

    def act_on_selected(
        self, request: HttpRequest, act: Act, selected: models.QuerySet[Any]
    ) -> HttpResponse | None:
        """Perform the act on the permitted rows, after a confirmation if it has a question."""
        if not self._permits(act, request):
            raise PermissionDenied
        found = list(selected[: MOST_AT_ONCE + 1])
        if len(found) > MOST_AT_ONCE:
            text = _("Select %(count)d rows at most. For more, use the commands of this app.")
            self.message_user(request, text % {"count": MOST_AT_ONCE}, messages.ERROR)
            return None
        rows = [row for row in found if self._permits(act, request, row)]
        if refused := len(found) - len(rows):
            text = ngettext(
                "%(count)d was left as it is: you do not have permission for it.",
                "%(count)d were left as they are: you do not have permission for them.",
                refused,
            )
            self.message_user(request, text % {"count": refused}, messages.ERROR)
        if not rows:
            return None
        if act.question and not request.POST.get("post"):
            return self._ask(request, act, rows, one=False)
        self._perform(request, act, rows)
        return None

    # Pages of one row

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<path:object_id>/{act.name}/",
                self.admin_site.admin_view(self._view_of(act)),
                name=f"{self.opts.app_label}_{self.opts.model_name}_{act.name}",
            )
            for act in self.acts
        ]
        patterns: list[Any] = [*own, *super().get_urls()]
        for pattern in patterns:
            if not isinstance(pattern, URLResolver):
                for alias in connections:
                    pattern.callback = transaction.non_atomic_requests(using=alias)(
                        pattern.callback
                    )
        return patterns

    @method_decorator(csrf_protect)
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        # Before 6.1, Django checks only the change permission of the row for a POST.
        if request.method == "POST" and object_id is not None:
            row = self.get_object(request, unquote(object_id))
            if not self.has_view_permission(request, row):
                raise PermissionDenied
        return self._changeform_view(request, object_id, form_url, extra_context)  # type: ignore[attr-defined]

    @method_decorator(csrf_protect)
    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return self._delete_view(request, object_id, extra_context)  # type: ignore[attr-defined,no-any-return]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context.get("original")
        context["egnyte_acts"] = [
            {"label": act.label, "url": self._url(act.name, row.pk), "asks": bool(act.question)}
            for act in self.acts
            if row is not None and act.applies(row) and self._permits(act, request, row)
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def _view_of(self, act: Act) -> Callable[..., HttpResponseBase]:
        @csrf_protect
        def view(request: HttpRequest, object_id: str) -> HttpResponseBase:
            row = self.get_object(request, unquote(object_id))
            if not self._permits(act, request, row):
                raise PermissionDenied
            if row is None:
                raise Http404
            if request.method != "POST":
                if not act.question:
                    return HttpResponseNotAllowed(["POST"])
                return self._ask(request, act, [row], one=True)
            self._perform(request, act, [row])
            if self.get_object(request, unquote(object_id)) is None:
                return redirect(self._url("changelist"))
            return redirect(self._url("change", row.pk))

        return view

    def _perform(self, request: HttpRequest, act: Act, rows: Sequence[Any]) -> None:
        done = 0
        for row in rows:
            if act.service(row, actor_of(request)):
                done += 1
                self.log_change(request, row, str(act.done))
        if done:
            text = f"{act.done}: {done} {model_ngettext(self.opts, done)}."
            self.message_user(request, text, messages.SUCCESS)
        if left := len(rows) - done:
            text = ngettext(
                "%(count)d was left as it is: there was nothing to do.",
                "%(count)d were left as they are: there was nothing to do.",
                left,
            )
            self.message_user(request, text % {"count": left}, messages.WARNING)

    def _ask(
        self, request: HttpRequest, act: Act, rows: Sequence[Any], *, one: bool
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": act.label,
            "question": act.question,
            "rows": rows,
            "one": one,
            "action": act.name,
            "checkbox": ACTION_CHECKBOX_NAME,
            "opts": self.opts,
            "media": self.media,
            "back": self._url("change", rows[0].pk) if one else self._url("changelist"),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/django_egnyte/confirm.html", context)

    def _url(self, name: str, *args: Any) -> str:
        view = f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(view, args=args, current_app=self.admin_site.name)


def list_actions(acts: Sequence[Act]) -> list[Any]:
    """The acts in the form of ``ModelAdmin.actions``."""
    return [_list_action(act) for act in acts]


def _list_action(act: Act) -> Any:
    def perform(
        model_admin: ActingAdmin, request: HttpRequest, selected: models.QuerySet[Any]
    ) -> HttpResponse | None:
        return model_admin.act_on_selected(request, act, selected)

    perform.__name__ = act.name
    return admin.action(perform, permissions=[act.name], description=act.label)
