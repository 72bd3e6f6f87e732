"""The page of charts, and the JSON endpoints that its script reads."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import timedelta
from typing import Any, NamedTuple

from django.contrib.admin import AdminSite, site
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views import View

from logs.admin.base import refuse
from logs.admin.charts import CHARTS, Question
from logs.admin.forms import InsightsForm
from logs.api.responses import wants_current
from logs.lib import replicas
from logs.models import Action, ActionType
from logs.store import rollups
from logs.store.click_pages import LOOK_BACK
from logs.store.days import MAX_DAYS, Days
from logs.store.rows import ClickPages

_CACHED_SECONDS = 60
# A request that finds days not rolled up yet rolls up some of them and says how far it came; the page asks again.
_SECONDS_OF_PREPARING = 1.0

_PRESET_DAYS = (7, 30, 90)

_TITLES = {
    "activity": "Activity over time",
    "visitors": "Users by day",
    "clicks": "Click heatmap",
    "flow": "Top paths",
    "views": "Most viewed",
    "users": "Most active users",
}


class Preset(NamedTuple):
    """A range of days that is one click away."""

    name: str
    url: str
    is_chosen: bool


class _ForViewers(PermissionRequiredMixin):
    permission_required = ("logs.view_log", "logs.view_action")
    raise_exception = True


class InsightsView(_ForViewers, View):
    """The page, without its data."""

    admin_site: AdminSite = site

    def get(self, request: HttpRequest) -> HttpResponse:
        form = InsightsForm(request.GET)
        question = _question(form, request.GET)
        context = {
            **self.admin_site.each_context(request),
            "title": "Insights",
            "form": InsightsForm(initial=_initial(question)) if question else form,
            "question": question,
            "charts": [(name, title, _url(name, question)) for name, title in _TITLES.items()] if question else [],
            "totals_url": _url("totals", question) if question else "",
            "action_types": ActionType.values,
            "look_back_hours": round(LOOK_BACK / timedelta(hours=1)),
            "max_days": MAX_DAYS,
            "was_shortened": form.was_shortened,
            "presets": _presets(question) if question else [],
            "around": _around(question) if question else {},
            "is_store_empty": not Action.objects.exists(),
        }
        return TemplateResponse(request, "admin/logs/insights.html", context)


class InsightsDataView(_ForViewers, View):
    """The data of one chart."""

    def get(self, request: HttpRequest, chart: str) -> JsonResponse:
        """Answer a chart's data; 202 with the progress while days are rolled up; 400 for parameters that make no sense.

        chart: one of CHARTS.
        """
        if chart not in CHARTS:
            raise Http404
        form = InsightsForm(request.GET)
        question = _question(form, request.GET)
        if form.was_shortened:
            form.add_error("to", f"Choose at most {MAX_DAYS} days.")
        if question is None or form.errors:
            return refuse(form)
        # Of somebody who was erased nothing may be shown: not even for as long as it is cached.
        is_about_users = chart == "users" or question.user_id is not None
        key = "insights:" + hashlib.sha256(repr((chart, question)).encode()).hexdigest()
        data = None if is_about_users else cache.get(key)
        if data is None:
            data = replicas.read(lambda: _figures(chart, question), is_about_users or wants_current(request))
            if data is None:
                progress = rollups.prepare(_days_needed(chart, question), _SECONDS_OF_PREPARING)
                if progress.done < progress.total:
                    return JsonResponse(asdict(progress), status=202)
                data = asdict(CHARTS[chart](question))
            if not is_about_users:
                cache.set(key, data, _CACHED_SECONDS)
        return JsonResponse(data, headers={"Cache-Control": "private, no-store"})


def _figures(chart: str, question: Question) -> dict[str, Any] | None:
    """Return a chart's data, None where days are to be rolled up before: that a replica can't."""
    if question.user_id is None and rollups.due_days(_days_needed(chart, question)):
        return None
    return asdict(CHARTS[chart](question))


def _question(form: InsightsForm, query: QueryDict) -> Question | None:
    if not form.is_valid():
        return None
    chosen = form.cleaned_data
    types = tuple(name for name in ActionType.values if name in chosen["types"]) or tuple(ActionType.values)
    page: str | ClickPages = ClickPages.ALL if chosen["allpages"] else ClickPages.MOST_CLICKED
    # An empty page is that of the clicks of which none is known; an absent one is no choice.
    if "page" in query:
        page = chosen["page"]
    return Question(chosen["days"], chosen["user"] or None, types, page)


def _initial(question: Question) -> dict[str, Any]:
    return {
        "from": question.days.first,
        "to": question.days.last,
        "user": question.user_id or "",
        "types": question.types if len(question.types) < len(ActionType) else (),
    }


def _url(chart: str, question: Question) -> str:
    """Return the URL of a chart's data."""
    query = QueryDict(mutable=True)
    query.update({"from": question.days.first.isoformat(), "to": question.days.last.isoformat()})
    if question.user_id:
        query["user"] = question.user_id
    query.setlist("types", list(question.types))
    if chart == "clicks":
        if isinstance(question.page, str):
            query["page"] = question.page
        elif question.page is ClickPages.ALL:
            query["allpages"] = "on"
    return f"{reverse('admin:insights_data', args=[chart])}?{query.urlencode()}"


def _presets(question: Question) -> list[Preset]:
    """Return the ranges that are one click away; the question's other choices stay as they are."""
    today = timezone.now().date()
    ranges = {
        "Today": Days(today, today),
        **{f"{count} days": Days(today - timedelta(days=count - 1), today) for count in _PRESET_DAYS},
        "This month": Days(today.replace(day=1), today),
    }
    return [Preset(name, _page_url(question, days), days == question.days) for name, days in ranges.items()]


def _around(question: Question) -> dict[str, str]:
    """Return the pages of the ranges right before and right after the question's; the calendar ends somewhere."""
    days, urls = question.days, {}
    length = timedelta(days=len(days))
    for name, shift in (("earlier", -length), ("later", length)):
        try:
            urls[name] = _page_url(question, Days(days.first + shift, days.last + shift))
        except OverflowError:
            continue
    if days.last >= timezone.now().date():
        urls.pop("later", None)
    return urls


def _page_url(question: Question, days: Days) -> str:
    query = QueryDict(mutable=True)
    query.update({"from": days.first.isoformat(), "to": days.last.isoformat()})
    if question.user_id:
        query["user"] = question.user_id
    if len(question.types) < len(ActionType):
        query.setlist("types", list(question.types))
    return f"?{query.urlencode()}"


def _days_needed(chart: str, question: Question) -> Days:
    is_compared = chart in ("totals", "visitors")
    return Days(question.days.before.first, question.days.last) if is_compared else question.days
