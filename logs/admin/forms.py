"""The forms of the admin's lists and of Insights: all fields are in the URL, so that a view can be shared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from logs.lib.limits import MAX_ID_LENGTH, MAX_TEXT_LENGTH
from logs.models import ActionType
from logs.store.click_pages import CELL_SIZE
from logs.store.days import MAX_DAYS, Days

DEFAULT_DAYS = 7
# The members of properties that the list of actions can be narrowed by, as the links of Insights do.
TEXT_MEMBERS = (*ActionType.VIEW.members, *ActionType.NAVIGATE.members)


class ExactText(forms.CharField):
    """An id as it was stored: spaces around it are part of it."""

    def __init__(self, max_length: int = MAX_ID_LENGTH, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, strip=False, required=False, **kwargs)

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        # Browsers would count an emoji as two characters, and cut what is allowed.
        return {name: value for name, value in super().widget_attrs(widget).items() if name != "maxlength"}


class UTCTimeField(forms.DateTimeField):
    """A time in UTC, picked from the browser's own calendar."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        super().__init__(required=False, widget=widget, **kwargs)

    def clean(self, value: Any) -> datetime | None:
        moment: datetime | None = super().clean(value)
        try:
            return None if moment is None else moment.astimezone(UTC)
        except OverflowError:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


class ActionTypesField(forms.MultipleChoiceField):
    """Some of the types of actions; none stands for all."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            choices=ActionType.choices, required=False, widget=forms.CheckboxSelectMultiple, label="Types", **kwargs
        )


class TimeRangeForm(forms.Form):
    """A range of time: from an instant on, until right before another."""

    # `from` is a reserved word in Python.
    locals()["from"] = UTCTimeField(label="From (UTC)")
    to = UTCTimeField(label="Until (UTC)")

    def clean(self) -> None:
        start, end = self.cleaned_data.get("from"), self.cleaned_data.get("to")
        if start and end and start >= end:
            self.add_error("to", "The end must be after the start.")


class JumpForm(forms.Form):
    """An instant in a session: its page begins with the first action from there on."""

    at = UTCTimeField(label="Jump to (UTC)")
    at.widget.attrs["step"] = 1


class LogListForm(TimeRangeForm):
    q = ExactText(
        max_length=MAX_ID_LENGTH + 2,
        label="User or session",
        widget=forms.TextInput({"type": "search", "placeholder": "starts with…"}),
        help_text='Use quotes for an exact match: "abc", or "a\\nb" as in JSON',
    )
    user = ExactText(widget=forms.HiddenInput)
    types = ActionTypesField()
    field_order = ["q", "from", "to", "types", "user"]


class ActionListForm(TimeRangeForm):
    """What the list of actions can be narrowed by; the fields that Insights links with are shown while they are set."""

    user = ExactText(label="User", widget=forms.TextInput({"type": "search", "placeholder": "exact user ID"}))
    session = ExactText(label="Session")
    types = ActionTypesField()
    viewedId = ExactText(MAX_TEXT_LENGTH, label="Viewed ID")
    pageFrom = ExactText(MAX_TEXT_LENGTH, label="From page")
    pageTo = ExactText(MAX_TEXT_LENGTH, label="To page")
    box = forms.RegexField(
        r"\A-?[0-9]{1,16}(,-?[0-9]{1,16}){3}\Z",
        required=False,
        label="Click area (px)",
        help_text="left, top, right, bottom",
        error_messages={"invalid": "Enter four whole numbers: left, top, right, bottom."},
    )
    page = ExactText(MAX_TEXT_LENGTH, label="Page of the clicks", help_text="inferred from the session's navigations")
    nopage = forms.BooleanField(required=False, label="Clicks of no known page")
    field_order = ["user", "session", "from", "to", "types", *TEXT_MEMBERS, "page", "nopage", "box"]

    detail_fields = ("session", *TEXT_MEMBERS, "page", "nopage", "box")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.detail_fields:
            if not self.data.get(name):
                self.fields[name].widget = forms.HiddenInput()

    def clean_box(self) -> tuple[int, ...]:
        """Return the first and the last square across and down, both inclusive, as (left, top, right, bottom)."""
        if not self.cleaned_data["box"]:
            return ()
        left, top, right, bottom = map(int, self.cleaned_data["box"].split(","))
        return left // CELL_SIZE, top // CELL_SIZE, (right - 1) // CELL_SIZE, (bottom - 1) // CELL_SIZE


class InsightsForm(forms.Form):
    """A range of whole days, both inclusive, a user and types; without a range the last DEFAULT_DAYS.

    Of a longer range than MAX_DAYS it takes the last ones: `was_shortened` says so.
    """

    was_shortened = False

    locals()["from"] = forms.DateField(
        required=False, label="From (UTC)", widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    to = forms.DateField(required=False, label="To (UTC)", widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"))
    user = ExactText(label="User", widget=forms.TextInput({"type": "search", "placeholder": "all users"}))
    types = ActionTypesField()
    # "" is a page of its own: the clicks of which none is known.
    page = ExactText(MAX_TEXT_LENGTH, widget=forms.HiddenInput)
    allpages = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def clean(self) -> None:
        if self.errors:
            return
        today = timezone.now().date()
        start, end = self.cleaned_data.get("from"), self.cleaned_data.get("to")
        try:
            end = end or (max(start, min(today, start + timedelta(days=MAX_DAYS - 1))) if start else today)
            start = start or end - timedelta(days=DEFAULT_DAYS - 1)
            if (end - start).days >= MAX_DAYS:
                start, self.was_shortened = end - timedelta(days=MAX_DAYS - 1), True
            days = Days(start, end)
            # The comparison needs the days before, and the links the day after.
            _ = days.before, days.bounds
        except (OverflowError, ValueError):
            self.add_error("from", "This date is out of range.")
            return
        if start > end:
            self.add_error("to", "The end date is before the start date.")
        self.cleaned_data["days"] = days
