"""The list of logs, one log as a timeline, and their deletion."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Max, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

import logs.lib.fields  # noqa: F401  registers begins_with
from logs.admin.base import ReadOnlyAdmin, staff_name
from logs.admin.forms import JumpForm, LogListForm
from logs.admin.pages import Pager, about_how_many
from logs.admin.timeline import MAX_IN_LANES, PAUSE, duration, entries, lanes, session_pager, with_text
from logs.api.exceptions import error_response
from logs.lib import jsontext
from logs.lib.errors import ErrorCode
from logs.lib.text import count_of
from logs.models import AccessKind, Action, ActionType, Log
from logs.store import access_records, erasures, purge
from logs.store.click_pages import ClickPage
from logs.store.purge import PurgeCounts, Selection
from logs.transfer.exporting import FORMATS

# Up to so many hits, a search reads them all and sorts them; beyond, it goes through the logs from the newest on.
_FEW_HITS = 1_000
_OTHER_LOGS = 10
# Nobody is made to type a longer id.
_MOST_TYPED = 64
# No row has a higher id.
_LAST_ID = 2**63 - 1

_logs_by_time = Pager(["-first_time", "-id"], time="first_time")


@admin.register(Log)
class LogAdmin(ReadOnlyAdmin):
    """The list of logs, the page of one log, and the deletion of a log or of everything about a user."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:log_id>/erase-user/", view(self.erase_user_view), name="logs_log_erase_user"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        self.require("view_log", request=request)
        form = LogListForm(request.GET)
        chosen = form.cleaned_data if form.is_valid() else {}
        logs, sift = _narrow(Log.objects.all(), chosen) if form.is_valid() else (Log.objects.none(), None)
        page = _logs_by_time.page(logs, request.GET, sift)
        is_narrowed = bool(set(request.GET) - {"after", "before"})
        user_id = chosen.get("user")
        context = self.context(
            request,
            "Logs",
            form=form,
            page=page,
            user_id=user_id,
            erasure=erasures.of_user(user_id).first() if user_id else None,
            may_erase=request.user.has_perm("logs.erase_user"),
            may_see_erasures=request.user.has_perm("logs.view_eraseduser"),
            action_types=list(ActionType),
            is_narrowed=is_narrowed,
            about=None if is_narrowed else about_how_many(Log),
            is_store_empty=not page.rows and not Log.objects.exists(),
        )
        return TemplateResponse(request, "admin/logs/log_list.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        self.require("view_log", "view_action", request=request)
        try:
            log = self._log(request, object_id)
        except Http404:
            if gone := _why_gone(object_id):
                return error_response(ErrorCode.NOT_FOUND, gone)
            raise
        jump = JumpForm(request.GET)
        if jump.is_valid() and jump.cleaned_data["at"]:
            return HttpResponseRedirect(f"?{urlencode({'after': session_pager.encode([jump.cleaned_data['at'], 0])})}")
        actions = Action.objects.filter(user_id=log.user_id, log_id=log.id)
        page = session_pager.page(with_text(actions).annotate(page=ClickPage()), request.GET)
        access_records.note(
            AccessKind.VIEW, staff_name(request), f"one user, log {log.id}", log.user_id, count=len(page.rows)
        )
        before: dict[str, Any] = {"last": None, "count": 0}
        if page.rows and page.previous:
            first = page.rows[0]
            earlier = actions.filter(Q(time__lt=first.time) | Q(time=first.time, id__lt=first.id), time__lte=first.time)
            before = earlier.aggregate(last=Max("time"), count=Count("id"))
        others = Log.objects.filter(user_id=log.user_id).exclude(id=log.id)
        context = self.context(
            request,
            "Log",
            log=log,
            span=duration(log.last_time - log.first_time),
            page=page,
            first_number=before["count"] + 1,
            last_number=before["count"] + len(page.rows),
            last=urlencode({"before": session_pager.encode([log.last_time, _LAST_ID])}),
            jump=jump if jump.errors else JumpForm(),
            timeline=list(entries(page.rows, before["last"])),
            lanes=lanes(actions),
            tick_format="H:i:s" if log.first_time.date() == log.last_time.date() else "m-d H:i",
            max_in_lanes=MAX_IN_LANES,
            pause=duration(PAUSE),
            export_query=urlencode({"user": log.user_id, "session": log.session_id}),
            export_formats=list(FORMATS),
            previous_log=others.filter(id__lt=log.id).order_by("-id").first(),
            next_log=others.filter(id__gt=log.id).order_by("id").first(),
            other_logs=others.order_by("-id")[:_OTHER_LOGS],
            may_delete=request.user.has_perm("logs.delete_log"),
            may_erase=request.user.has_perm("logs.erase_user"),
        )
        return TemplateResponse(request, "admin/logs/log.html", context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        self.require("view_log", "delete_log", request=request)
        log = self._log(request, object_id)
        if request.method == "POST":
            erased = purge.delete_log(log.user_id, log.id)
            message = f"Log {log.id} was deleted with {count_of(erased.actions, 'action')}."
            self._note_deletion(request, log, f"Log {log.id}", message)
            return HttpResponseRedirect(reverse("admin:logs_log_changelist"))
        return self._confirmation(request, log, "Delete log", PurgeCounts(1, log.action_count))

    def erase_user_view(self, request: HttpRequest, log_id: int) -> HttpResponse:
        """Have the user's id typed, then delete everything that is stored about the user of a log.

        Whoever may see erasures is led to this one: it says when and how much, and proves that it is finished.
        """
        self.require("view_log", "erase_user", request=request)
        log = self._log(request, str(log_id))
        to_type = log.user_id if _can_be_typed(log.user_id) else "erase"
        is_typed = request.POST.get("confirmation") == to_type
        if request.method == "POST" and is_typed:
            erased = purge.erase_user(log.user_id, staff_name(request))
            message = f"The user was erased: {count_of(erased.logs, 'log')}, {count_of(erased.actions, 'action')}."
            self._note_deletion(request, log, "A user", message)
            erasure = erasures.of_user(log.user_id).first()
            if erasure is None or not request.user.has_perm("logs.view_eraseduser"):
                return HttpResponseRedirect(reverse("admin:logs_log_changelist"))
            return HttpResponseRedirect(reverse("admin:logs_eraseduser_change", args=[erasure.pk]))
        stored = Selection(users=[log.user_id]).counts()
        is_wrong = request.method == "POST"
        return self._confirmation(request, log, "Erase user", stored, to_type=to_type, is_wrong=is_wrong)

    def _log(self, request: HttpRequest, object_id: str) -> Log:
        log: Log = self.get_object(request, object_id)
        return log

    def _confirmation(
        self,
        request: HttpRequest,
        log: Log,
        title: str,
        stored: PurgeCounts,
        to_type: str = "",
        is_wrong: bool = False,
    ) -> HttpResponse:
        """Ask whether to delete a log, or with a text to type the whole user.

        is_wrong: whether another text was typed before.
        """
        context = self.context(
            request,
            title,
            log=log,
            log_count=count_of(stored.logs, "log"),
            action_count=count_of(stored.actions, "action"),
            stored=stored,
            to_type=to_type,
            is_wrong=is_wrong,
        )
        return TemplateResponse(request, "admin/logs/erase.html", context)

    def _note_deletion(self, request: HttpRequest, log: Log, name: str, message: str) -> None:
        """Note a deletion in the admin's history, and for the next page.

        Neither text may say whose it was: the history must not keep what was to be erased.

        name: what the history calls the deleted thing.
        message: what it, and the next page, say of the deletion.
        """
        LogEntry.objects.create(
            user=cast(User, request.user),
            content_type=ContentType.objects.get_for_model(Log),
            object_id=str(log.id),
            object_repr=name,
            action_flag=DELETION,
            change_message=message,
        )
        messages.success(request, message)


def _can_be_typed(user_id: str) -> bool:
    return len(user_id) <= _MOST_TYPED and user_id.isprintable() and user_id == " ".join(user_id.split())


def _why_gone(object_id: str) -> str:
    """Say when a log was deleted in the admin and by whom; "" for one that never was."""
    deletions = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Log), object_id=object_id, action_flag=DELETION
    )
    entry = deletions.select_related("user").order_by("-pk").first()
    if entry is None:
        return ""
    at = f"{entry.action_time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"This log was deleted at {at} by {entry.user.get_username()}. {entry.get_change_message()}"


def _narrow(logs: QuerySet[Log], chosen: dict[str, Any]) -> tuple[QuerySet[Log], Q | None]:
    """Return the logs of what an index serves, and the conditions that none does.

    A log is in a range of time when it has begun before its end, and not ended before its beginning.
    """
    sift = Q()
    if chosen["user"]:
        logs = logs.filter(user_id=chosen["user"])
    if chosen["from"]:
        sift &= Q(last_time__gte=chosen["from"])
    if chosen["to"]:
        logs = logs.filter(first_time__lt=chosen["to"])
    if chosen["q"]:
        hits = _ids_of(chosen["q"])
        if len(hits) <= _FEW_HITS:
            logs = logs.filter(id__in=hits)
        else:
            sift &= _is_hit(chosen["q"], "user_id") | _is_hit(chosen["q"], "session_id")
    if chosen["types"]:
        sift &= Q(*((f"{ActionType(name).counter}__gt", 0) for name in chosen["types"]), _connector=Q.OR)
    return logs, sift or None


def _ids_of(text: str) -> set[int]:
    """Return the ids of the logs that a search finds, at most _FEW_HITS and one more by each of the two columns."""
    return {
        log_id
        for column in ("user_id", "session_id")
        for log_id in Log.objects.filter(_is_hit(text, column)).values_list("id", flat=True)[: _FEW_HITS + 1]
    }


def _is_hit(text: str, column: str) -> Q:
    if len(text) > 2 and text.startswith('"') and text.endswith('"'):
        return Q(**{column: _unquoted(text)})
    return Q(**{f"{column}__begins_with": text})


def _unquoted(text: str) -> str:
    """Return what is in quotes: as a string of JSON, which can write any character, else as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text[1:-1]
    return text[1:-1] if jsontext.has_forbidden_character(value) else str(value)
