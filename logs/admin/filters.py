"""What the admin's list of actions shows and exports: the API's filter, with the fields of the list's own form."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.db.models import Q, QuerySet, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from logs.admin.forms import TEXT_MEMBERS, ActionListForm
from logs.api.filters import ActionFilter
from logs.models import Action, ActionQuerySet, ActionType
from logs.store.click_pages import ClickCell, ClickPage


class ActionListFilter(ActionFilter):
    """The filter of a list that pages through millions of actions.

    An index serves the filters that are declared here. What none serves is apart, so that a page can bound for how
    many rows it looks.
    """

    # So django-filter takes away what it would inherit.
    userId = sessionId = types = None  # type: ignore[assignment]
    user = django_filters.CharFilter(field_name="user_id", strip=False)
    session = django_filters.CharFilter(field_name="log__session_id", strip=False)
    # `from` is a reserved word in Python.
    locals()["from"] = django_filters.DateTimeFilter(field_name="time", lookup_expr="gte")
    to = django_filters.DateTimeFilter(field_name="time", lookup_expr="lt")  # type: ignore[assignment]

    def get_form_class(self) -> type[forms.Form]:
        return ActionListForm

    @property
    def chosen(self) -> dict[str, Any]:
        """The form's values; nothing for one with errors."""
        return self.form.cleaned_data if self.form.is_valid() else {}

    @property
    def indexed(self) -> ActionQuerySet:
        """The actions that the declared filters choose; none for a form with errors."""
        actions: ActionQuerySet = self.queryset
        if not self.chosen:
            return actions.none()
        for name, own in self.filters.items():
            actions = own.filter(actions, self.chosen[name])
        for name in TEXT_MEMBERS:
            actions = actions.alias(**{f"{name}_text": Cast(KT(f"properties__{name}"), TextField())})
        return actions.alias(x=ClickCell("locationX"), y=ClickCell("locationY"), page=ClickPage())

    @property
    def sift(self) -> Q | None:
        """The conditions that no index serves, on the actions of `indexed`; None without any."""
        chosen = self.chosen
        conditions = Q()
        if chosen.get("types") and len(set(chosen["types"])) < len(ActionType):
            conditions &= Q(type__in=chosen["types"])
        for name in TEXT_MEMBERS:
            if chosen.get(name):
                conditions &= Q(**{f"{name}_text": chosen[name]})
        if chosen.get("page") or chosen.get("nopage"):
            conditions &= Q(type=ActionType.CLICK, page="" if chosen["nopage"] else chosen["page"])
        if chosen.get("box"):
            left, top, right, bottom = chosen["box"]
            conditions &= Q(x__gte=left, x__lte=right, y__gte=top, y__lte=bottom)
        return conditions or None

    def filter_queryset(self, queryset: QuerySet[Action]) -> ActionQuerySet:
        return self.indexed.filter(self.sift or Q())
