"""The data of the charts of Insights: the rows of each one, and the sentence that sums them up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from logs.lib.text import count_of
from logs.models import ActionType
from logs.store import counts, visits
from logs.store.click_pages import CELL_SIZE
from logs.store.days import Days, start_of
from logs.store.rows import CellRow, ClickPages

MAX_FLOWS = 30
MAX_NAMES = 20
MAX_PAGES_OFFERED = 100
_MAX_CELLS_READ = 20_000
_MAX_COLUMNS, _MAX_ROWS = 96, 120
# The widths of screens that a heatmap is drawn as wide as, in pixels: the first one that holds its clicks.
_SCREEN_WIDTHS = (360, 400, 768, 1024, 1280, 1440, 1600, 1920, 2560)
# A click is far off by more than so many times the median distance from the median click, and than so many squares: one
# of those would shrink all the others to a dot.
_FAR, _NEAR_CELLS = 10, 100


@dataclass(frozen=True)
class Question:
    """What charts are to show: whole days (UTC), one user or all, some types or all, the clicks of some page."""

    days: Days
    user_id: str | None = None
    types: tuple[str, ...] = tuple(ActionType.values)
    page: str | ClickPages = ClickPages.MOST_CLICKED

    def link(self, **changes: Any) -> str:
        """Return the URL of the list of the actions behind a mark.

        changes: parameters of that list that differ from the question's own.
        """
        start, end = self.days.bounds
        query = {
            "user": self.user_id or "",
            "types": list(self.types) if len(self.types) < len(ActionType) else [],
            "from": _minute(start),
            "to": _minute(end),
            **changes,
        }
        chosen = {name: value for name, value in query.items() if value or value == 0}
        return f"{reverse('admin:logs_action_changelist')}?{urlencode(chosen, doseq=True)}"


@dataclass(frozen=True)
class Chart:
    """The data of one chart, which its table shows too.

    summary: what the chart shows, in a sentence.
    rows: as wide as columns.
    links: the URL of the actions behind each row.
    more: what the drawing needs besides.
    """

    summary: str
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)


def totals_chart(question: Question) -> Chart:
    """Return the number of actions, in all and by type, and of users, each with its change from as many days before.

    A range that goes on still is compared with as much of the range before.
    """
    period_before = question.days.before
    now, before = _metrics(question, question.days), _metrics(question, period_before)
    rows = [[name, value, before[name], _change(value, before[name])] for name, value in now.items()]
    links = {ActionType(name).plural: question.link(types=[name]) for name in question.types}
    metrics = "; ".join(f"{name}: {value:,} ({change})" for name, value, _, change in rows)
    so_far = "" if period_before.until is None else ", so far"
    return Chart(
        f"{_span(question.days)} (UTC{so_far}), compared with {_span(period_before)}: {metrics}.",
        ["Metric", "This period", "Previous period", "Change"],
        rows,
        [links.get(name, question.link()) for name in now],
        {"periodBefore": _span(period_before)},
    )


def activity_chart(question: Question) -> Chart:
    """Return the actions over time by type, by hour, day or week."""
    unit, step = _unit(len(question.days))
    buckets: dict[datetime, Counter[str]] = {}
    start, end = question.days.bounds
    # Weeks are counted from the first day of the range, so that as many as possible are whole, and comparable.
    for index in range(math.ceil((end - start) / step)):
        buckets[start + index * step] = Counter()
    for row in counts.activity(question.days, question.types, question.user_id):
        moment = start_of(row.day) + timedelta(hours=row.hour)
        buckets[start + (moment - start) // step * step][row.type] += row.total
    total = sum(bucket.total() for bucket in buckets.values())
    if not total:
        return Chart(f"No actions in this period.{_when_there_are_some(question)}")
    names = {moment: f"{moment.date()} {moment:%H:%M}" if unit == "hour" else f"{moment.date()}" for moment in buckets}
    busiest = max(buckets, key=lambda moment: buckets[moment].total())
    now = timezone.now()
    open_index = next((index for index, moment in enumerate(buckets) if moment <= now < moment + step), None)
    begins = f"{'starting ' if unit == 'week' else ''}{names[busiest]}"
    return Chart(
        f"{count_of(total, 'action')}. Busiest {unit}: {begins} (UTC), {count_of(buckets[busiest].total(), 'action')}.",
        [f"{unit.capitalize()} (UTC)", *(ActionType(name).plural for name in question.types)],
        [[names[moment], *(bucket[name] for name in question.types)] for moment, bucket in buckets.items()],
        [
            question.link(**{"from": _minute(moment), "to": _minute(moment + min(step, end - moment))})
            for moment in buckets
        ],
        {"unit": unit, "types": list(question.types), "open": open_index},
    )


def visitors_chart(question: Question) -> Chart:
    """Return the users of each day, new and returning, and how many the day as long before had.

    New is who never did anything before, of any type, as far as that is stored.
    """
    days, before = question.days, question.days.before
    by_day = {row.day: row for row in visits.users_by_day(days, question.types, question.user_id)}
    earlier = {row.day: row.users for row in visits.users_by_day(before, question.types, question.user_id)}
    if not by_day:
        return Chart(f"No users in this period.{_when_there_are_some(question)}")
    total = visits.users(days, question.types, question.user_id)
    rows: list[list[Any]] = []
    links = []
    for index in range(len(days)):
        day = days.first + timedelta(days=index)
        found = by_day.get(day)
        users, new = (found.users, found.new) if found else (0, 0)
        # Of a range that goes on still the one before ends early, and its later days are not counted.
        day_before = before.first + timedelta(days=index)
        is_counted = day_before <= before.last
        rows.append([day.isoformat(), new, users - new, earlier.get(day_before, 0) if is_counted else None])
        links.append(question.link(**{"from": _minute(start_of(day)), "to": _minute(Days(day, day).bounds[1])}))
    today = timezone.now().date()
    return Chart(
        f"{count_of(total.users, 'user')}, {total.new:,} of them new.",
        ["Day (UTC)", "New", "Returning", "Users in the period before"],
        rows,
        links,
        {"open": (today - days.first).days if days.first <= today <= days.last else None},
    )


def clicks_chart(question: Question) -> Chart:
    """Return where users clicked on the question's page, in squares; those far from all others come last.

    more: how many of the rows are drawn, the size of the squares and the frame around them, in pixels.
    """
    if ActionType.CLICK not in question.types:
        return _not_selected(ActionType.CLICK)
    found = counts.clicks(question.days, question.user_id, question.page, MAX_PAGES_OFFERED, _MAX_CELLS_READ)
    page = found.page if isinstance(found.page, str) else None
    more: dict[str, Any] = {"pages": [list(row) for row in found.pages], "page": page}
    if not found.cells:
        return Chart("No clicks in this period.", more=more)
    total = sum(cell.total for cell in found.cells)
    left, right = _extent([(cell.x, cell.total) for cell in found.cells])
    top, bottom = _extent([(cell.y, cell.total) for cell in found.cells])
    width = next((width for width in _SCREEN_WIDTHS if (right + 1) * CELL_SIZE <= width), (right + 1) * CELL_SIZE)
    left, top, right = min(left, 0), min(top, 0), max(right, math.ceil(width / CELL_SIZE) - 1)
    scale = max(1, math.ceil((right - left + 1) / _MAX_COLUMNS), math.ceil((bottom - top + 1) / _MAX_ROWS))
    is_near = [left <= cell.x <= right and top <= cell.y <= bottom for cell in found.cells]
    near, far = (
        _merged([cell for cell, near in zip(found.cells, is_near, strict=True) if near is wanted], scale)
        for wanted in (True, False)
    )
    size = CELL_SIZE * scale
    (hot_x, hot_y), most = near[0]
    summary = (
        f"{count_of(total, 'click')} in squares of {size} px. Hottest square:"
        f" x {_range(hot_x, size)}, y {_range(hot_y, size)}, {count_of(most, 'click')}."
    )
    outside = sum(count for _, count in far)
    if outside:
        are = "is" if outside == 1 else "are"
        summary += f" {count_of(outside, 'click')} far from the others {are} in the table alone."
    shown = {} if page is None else {"page": page} if page else {"nopage": "on"}
    edges = {"left": left, "right": right, "top": top, "bottom": bottom}
    return Chart(
        summary,
        ["X (px)", "Y (px)", "Clicks"],
        [[x * size, y * size, count] for (x, y), count in near + far],
        [
            question.link(
                types=[ActionType.CLICK], box=f"{x * size},{y * size},{(x + 1) * size},{(y + 1) * size}", **shown
            )
            for (x, y), _ in near + far
        ],
        {**more, "drawn": len(near), "size": size, **{name: cell // scale * size for name, cell in edges.items()}},
    )


def flow_chart(question: Question) -> Chart:
    """Return the paths from page to page that users took most often."""
    if ActionType.NAVIGATE not in question.types:
        return _not_selected(ActionType.NAVIGATE)
    rows = counts.flows(question.days, question.user_id, MAX_FLOWS)
    summary = "No navigations in this period."
    if rows:
        top = rows[0]
        summary = f"Top path: {top.page_from} → {top.page_to}, {count_of(top.total, 'navigation')}."
    links = [question.link(types=[ActionType.NAVIGATE], pageFrom=row.page_from, pageTo=row.page_to) for row in rows]
    return Chart(summary, ["From", "To", "Navigations"], [list(row) for row in rows], links)


def views_chart(question: Question) -> Chart:
    """Return the IDs that were viewed most often."""
    if ActionType.VIEW not in question.types:
        return _not_selected(ActionType.VIEW)
    rows = counts.top_views(question.days, question.user_id, MAX_NAMES)
    summary = "No views in this period."
    if rows:
        summary = f"Most viewed: {rows[0].name}, {count_of(rows[0].total, 'view')}."
    links = [question.link(types=[ActionType.VIEW], viewedId=row.name) for row in rows]
    return Chart(summary, ["Viewed ID", "Views"], [list(row) for row in rows], links)


def users_chart(question: Question) -> Chart:
    """Return the users with the most actions."""
    rows = counts.top_users(question.days, question.types, question.user_id, MAX_NAMES)
    summary = "No users in this period."
    if rows:
        summary = f"Most active: {rows[0].name}, {count_of(rows[0].total, 'action')}."
    links = [question.link(user=row.name) for row in rows]
    return Chart(summary, ["User", "Actions"], [list(row) for row in rows], links)


CHARTS: dict[str, Callable[[Question], Chart]] = {
    "totals": totals_chart,
    "activity": activity_chart,
    "visitors": visitors_chart,
    "clicks": clicks_chart,
    "flow": flow_chart,
    "views": views_chart,
    "users": users_chart,
}


def _not_selected(action_type: ActionType) -> Chart:
    return Chart(f"{action_type.plural} are not among the selected types.")


def _metrics(question: Question, days: Days) -> dict[str, int]:
    by_type = counts.totals(days, question.types, question.user_id)
    metrics = {"Actions": sum(by_type.values())}
    metrics.update({ActionType(name).plural: by_type.get(ActionType(name), 0) for name in question.types})
    if question.user_id is None:
        metrics["Users"] = counts.active_users(days, question.types)
    return metrics


def _change(now: int, before: int) -> str:
    if now and not before:
        return "new"
    percent = round(100 * (now - before) / before) if before else 0
    return f"{percent:+,}%" if percent else "no change"


def _unit(days: int) -> tuple[str, timedelta]:
    if days <= 7:
        return "hour", timedelta(hours=1)
    return ("day", timedelta(days=1)) if days <= 62 else ("week", timedelta(weeks=1))


def _span(days: Days) -> str:
    span = days.first.isoformat() + ("" if days.first == days.last else f" to {days.last.isoformat()}")
    return span if days.until is None else f"{span} {days.until:%H:%M}"


def _minute(moment: datetime) -> str:
    """Write an instant as the lists' own filter does. strftime would write the year 1 as `1`."""
    return moment.replace(tzinfo=None).isoformat(timespec="minutes")


def _range(square: int, size: int) -> str:
    return f"{square * size}–{(square + 1) * size}"  # noqa: RUF001  the dash of a range


def _merged(cells: Sequence[CellRow], scale: int) -> list[tuple[tuple[int, int], int]]:
    """Add up cells in squares of scale by scale cells, the square with the most clicks first."""
    squares: Counter[tuple[int, int]] = Counter()
    for cell in cells:
        squares[cell.x // scale, cell.y // scale] += cell.total
    return squares.most_common()


def _extent(places: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the first and the last place but for those that are far off.

    places: pairs of a place and its clicks; a place may come several times.
    """
    weights: Counter[int] = Counter()
    for place, count in places:
        weights[place] += count
    middle = _median(weights)
    distances: Counter[int] = Counter()
    for place, count in weights.items():
        distances[abs(place - middle)] += count
    reach = max(_NEAR_CELLS, _FAR * _median(distances))
    near = [place for place in weights if abs(place - middle) <= reach]
    return min(near), max(near)


def _median(weights: Counter[int]) -> int:
    """Return the lower median of numbers, each as often as its weight."""
    reached, half = 0, weights.total() / 2
    for number in sorted(weights):
        reached += weights[number]
        if reached >= half:
            break
    return number


def _when_there_are_some(question: Question) -> str:
    """Say from when to when there are actions, if there are any."""
    span = counts.time_span(question.user_id)
    if span is None:
        return ""
    whose = "" if question.user_id is None else " of this user"
    return f" There are actions{whose} from {span[0].isoformat()} to {span[1].isoformat()}."
