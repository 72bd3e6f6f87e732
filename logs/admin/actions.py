"""The list of actions, the page of one action, and the export of what the list shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.http import content_disposition_header

from logs.admin.base import ReadOnlyAdmin, refuse, staff_name
from logs.admin.filters import ActionListFilter
from logs.admin.pages import Pager, about_how_many
from logs.admin.timeline import entries, session_pager, with_text
from logs.lib.times import WIRE_ZONE
from logs.models import AccessKind, Action
from logs.store.access_records import note, selection_in_words
from logs.store.click_pages import ClickPage
from logs.transfer.exporting import FORMATS, RecordedExport

_by_time = Pager(["-time", "-id"])
# A user's actions lie session by session in their index.
_by_session = Pager(["-log_id", "-time", "-id"])

# An id may be any text; a name of a file may not.
_drop_harmful = re.compile(r"[^\w.@+-]+|^\.+", re.ASCII).sub
_LONGEST_PART = 60


@admin.register(Action)
class ActionAdmin(ReadOnlyAdmin):
    """The list of actions and the page of one, for those who may see logs too: an action tells its user and session."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("export.<str:file_format>", view(self.export_view), name="logs_action_export"),
            *super().get_urls(),
        ]

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perms(["logs.view_log", "logs.view_action"])

    def get_queryset(self, request: HttpRequest) -> QuerySet[Action]:
        return with_text(Action.objects.annotate(page=ClickPage()))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        self.require("view_log", "view_action", request=request)
        listed = ActionListFilter(request.GET, Action.objects.all())
        form = listed.form
        pager = _by_session if listed.chosen.get("user") else _by_time
        rows = with_text(listed.indexed).annotate(session_id=F("log__session_id"))
        page = pager.page(rows, request.GET, listed.sift)
        if page.rows:
            note(AccessKind.VIEW, staff_name(request), *_selection(listed.chosen), count=len(page.rows))
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
            wire_offset=WIRE_ZONE,
            is_store_empty=not page.rows and not Action.objects.exists(),
        )
        return TemplateResponse(request, "admin/logs/action_list.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show an action with its properties as the text that was stored."""
        self.require("view_log", "view_action", request=request)
        # Of a request that would change something the stock page says no, too.
        if request.method == "POST":
            raise PermissionDenied
        action = self.get_object(request, object_id)
        note(AccessKind.VIEW, staff_name(request), f"one user, action {action.id}", action.user_id, count=1)
        right_before = session_pager.encode([action.time, action.id - 1])
        context = self.context(
            request,
            "Action",
            entry=next(entries([action], None)),
            in_session=f"?{urlencode({'after': right_before})}#action-{action.id}",
        )
        return TemplateResponse(request, "admin/logs/action.html", context)

    def export_view(self, request: HttpRequest, file_format: str) -> HttpResponse | StreamingHttpResponse:
        """Stream the actions that the list would show with the same query string, all of them, oldest first.

        A user's are session by session in a format whose records are sessions.
        """
        self.require("view_log", "view_action", request=request)
        listed = ActionListFilter(request.GET, Action.objects.all())
        if file_format not in FORMATS:
            raise Http404
        if not listed.chosen:
            return refuse(listed.form)
        is_by_session = listed.chosen["user"] and file_format != "csv"
        order = ("log_id", "time", "id") if is_by_session else ("time", "id")
        name = f"{_file_name(listed.chosen)}.{file_format}"
        return StreamingHttpResponse(
            RecordedExport(
                listed.qs.with_log().order_by(*order),
                FORMATS[file_format],
                staff_name(request),
                *_selection(listed.chosen),
            ),
            content_type=FORMATS[file_format].content_type,
            headers={"Content-Disposition": str(content_disposition_header(as_attachment=True, filename=name))},
        )


def _file_name(chosen: Mapping[str, Any]) -> str:
    """Return what a file of actions holds, as its name says it: `actions-ann-CLICK-from-2026-10-01`."""
    parts = ["actions", chosen["user"], chosen["session"], *chosen["types"]]
    for name in ("from", "to"):
        if chosen[name]:
            moment = chosen[name].replace(tzinfo=None)
            is_midnight = moment.time() == time.min
            parts += [name, moment.date().isoformat() if is_midnight else f"{moment:%Y-%m-%dT%H%M%S}"]
    others = any(value for name, value in chosen.items() if name not in ("user", "session", "types", "from", "to"))
    return "-".join(_drop_harmful("_", part)[:_LONGEST_PART] for part in [*parts, *["filtered"] * others] if part)


def _selection(chosen: Mapping[str, Any]) -> tuple[str, str]:
    """Return the selection of a record, and its user."""
    user_id = chosen.get("user") or ""
    return selection_in_words({name: value for name, value in chosen.items() if name != "user"}, user_id), user_id
