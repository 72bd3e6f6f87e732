"""The list of actions, and the export of what it shows."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import BigIntegerField, F, Q, TextField
from django.db.models.expressions import RawSQL
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from logs.admin.base import ReadOnlyAdmin
from logs.admin.forms import ActionListForm
from logs.admin.pages import Pager, about_how_many
from logs.admin.timeline import entries, with_text
from logs.models import Action, ActionQuerySet, ActionType
from logs.store.rollups import cell_sql
from logs.transfer.exporting import FORMATS, Stream

_by_time = Pager(["-time", "-id"])
# A user's actions lie session by session in their index.
_by_session = Pager(["-log_id", "-time", "-id"])


@admin.register(Action)
class ActionAdmin(ReadOnlyAdmin):
    fields = ("user_id", "session", "time", "type", "properties")
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("export.<str:file_format>", view(self.export_view), name="logs_action_export"),
            *super().get_urls(),
        ]

    @admin.display(description="session")
    def session(self, action: Action) -> str:
        return action.log.session_id

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        self.require("view_log", "view_action", request=request)
        form = ActionListForm(request.GET)
        actions, sift, pager = Action.objects.none(), None, _by_time
        if form.is_valid():
            actions, sift = _narrow(form.cleaned_data)
            pager = _by_session if form.cleaned_data["user"] else _by_time
        rows = with_text(actions).annotate(session_id=F("log__session_id"))
        page = pager.page(rows, request.GET, sift)
        query = request.GET.copy()
        for name in ("after", "before"):
            query.pop(name, None)
        context = self.context(
            request,
            "Actions",
            form=form,
            page=page,
            entries=list(entries(page.rows, None)),
            is_by_session=pager is _by_session,
            is_narrowed=bool(query),
            about=None if query else about_how_many(Action),
            export_query=query.urlencode(),
            export_formats=list(FORMATS),
            is_store_empty=not page.rows and not Action.objects.exists(),
        )
        return TemplateResponse(request, "admin/logs/action_list.html", context)

    def export_view(self, request: HttpRequest, file_format: str) -> HttpResponse | StreamingHttpResponse:
        """Stream the actions that the list would show with the same query string, all of them, oldest first."""
        self.require("view_log", "view_action", request=request)
        form = ActionListForm(request.GET)
        if file_format not in FORMATS:
            raise Http404
        if not form.is_valid():
            return HttpResponse(form.errors.as_text(), status=400, content_type="text/plain; charset=utf-8")
        actions, sift = _narrow(form.cleaned_data)
        if sift is not None:
            actions = actions.filter(sift)
        order = ("log_id", "time", "id") if form.cleaned_data["user"] else ("time", "id")
        return StreamingHttpResponse(
            Stream(actions.with_log().order_by(*order).records(), FORMATS[file_format].render),
            content_type=FORMATS[file_format].content_type,
            headers={"Content-Disposition": f'attachment; filename="actions.{file_format}"'},
        )


def _narrow(chosen: dict[str, Any]) -> tuple[ActionQuerySet, Q | None]:
    """Return the actions of what an index serves, and the conditions that none does."""
    actions, sift = Action.objects.all(), Q()
    if chosen["user"]:
        actions = actions.filter(user_id=chosen["user"])
    if chosen["from"]:
        actions = actions.filter(time__gte=chosen["from"])
    if chosen["to"]:
        actions = actions.filter(time__lt=chosen["to"])
    if chosen["types"] and len(set(chosen["types"])) < len(ActionType):
        sift &= Q(type__in=chosen["types"])
    for name in ("viewedId", "pageFrom", "pageTo"):
        if chosen[name]:
            member = RawSQL(f"properties ->> '{name}'", [], TextField())  # noqa: S611  the names above alone
            actions = actions.alias(**{f"{name}_text": member})
            sift &= Q(**{f"{name}_text": chosen[name]})
    if chosen["box"]:
        left, top, right, bottom = chosen["box"]
        actions = actions.alias(x=_cell("locationX"), y=_cell("locationY"))
        sift &= Q(x__gte=left, x__lte=right, y__gte=top, y__lte=bottom)
    return actions, sift or None


def _cell(member: str) -> RawSQL:
    return RawSQL(cell_sql(member), [], BigIntegerField())  # noqa: S611  two constants
