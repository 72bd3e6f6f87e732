"""The page of pictures, and the JSON addresses that its script reads."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views import View

from logs.admin.charts import PICTURES, Question
from logs.admin.forms import InsightsForm
from logs.models import Action, ActionType
from logs.store import rollups
from logs.store.rollups import Days

_CACHED_SECONDS = 60
# A request that finds days not counted yet counts some of them and says how far it came; the page asks again.
_COUNTING_SECONDS = 1.0

_TITLES = {
    "activity": "Activity over time",
    "clicks": "Where was clicked",
    "flow": "From page to page",
    "views": "Viewed most",
    "users": "Busiest users",
}


class _ForViewers(PermissionRequiredMixin):
    permission_required = ("logs.view_log", "logs.view_action")
    raise_exception = True


class InsightsView(_ForViewers, View):
    admin_site: AdminSite | None = None

    def get(self, request: HttpRequest) -> HttpResponse:
        form = InsightsForm(request.GET)
        question = _question(form, request.GET)
        shown = InsightsForm(initial=_initial(question)) if question else form
        context = {
            **self.admin_site.each_context(request),
            "title": "Insights",
            "form": shown,
            "question": question,
            "pictures": [(name, title, _address(name, question)) for name, title in _TITLES.items()],
            "figures_address": _address("figures", question),
            "is_store_empty": not Action.objects.exists(),
        }
        return TemplateResponse(request, "admin/logs/insights.html", context)


class InsightsDataView(_ForViewers, View):
    def get(self, request: HttpRequest, picture: str) -> JsonResponse:
        """Answer a picture's data; 202 with how many days are counted while that takes longer; 400 for a bad range."""
        if picture not in PICTURES:
            raise Http404
        form = InsightsForm(request.GET)
        question = _question(form, request.GET)
        if question is None:
            return JsonResponse({"errors": form.errors}, status=400)
        # Of somebody who was erased nothing may be shown: not even for as long as it is cached.
        is_about_users = picture == "users" or question.user_id is not None
        key = "insights:" + hashlib.sha256(repr((picture, question)).encode()).hexdigest()
        data = None if is_about_users else cache.get(key)
        if data is None:
            if question.user_id is None:
                progress = rollups.prepare(_days_needed(picture, question), _COUNTING_SECONDS)
                if progress.done < progress.total:
                    return JsonResponse(asdict(progress), status=202)
            data = asdict(PICTURES[picture](question))
            if not is_about_users:
                cache.set(key, data, _CACHED_SECONDS)
        return JsonResponse(data, headers={"Cache-Control": "private, no-store"})


def _question(form: InsightsForm, query: QueryDict) -> Question | None:
    if not form.is_valid():
        return None
    chosen = form.cleaned_data
    types = tuple(name for name in ActionType.values if name in chosen["types"]) or tuple(ActionType.values)
    # An empty page is that of the clicks before any navigation; an absent one is no filter.
    page = chosen["page"] if "page" in query else None
    return Question(chosen["days"], chosen["user"] or None, types, page)


def _initial(question: Question) -> dict[str, Any]:
    return {
        "from": question.days.first,
        "to": question.days.last,
        "user": question.user_id or "",
        "types": question.types if len(question.types) < len(ActionType) else (),
    }


def _address(picture: str, question: Question | None) -> str:
    if question is None:
        return ""
    query = QueryDict(mutable=True)
    query.update({"from": question.days.first.isoformat(), "to": question.days.last.isoformat()})
    if question.user_id:
        query["user"] = question.user_id
    query.setlist("types", question.types)
    if question.page is not None and picture == "clicks":
        query["page"] = question.page
    return f"{reverse('admin:insights_data', args=[picture])}?{query.urlencode()}"


def _days_needed(picture: str, question: Question) -> Days:
    return Days(question.days.before.first, question.days.last) if picture == "figures" else question.days
