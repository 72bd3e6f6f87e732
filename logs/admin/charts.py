"""The data of the charts of Insights: the rows of each one, and the sentence that sums them up."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from logs.lib.text import count_of
from logs.models import ActionType
from logs.store import counts
from logs.store.counts import CELL_SIZE
from logs.store.days import Days, start_of
from logs.store.rows import CellRow

MAX_FLOWS = 30
MAX_NAMES = 20
MAX_PAGES_OFFERED = 100
_MAX_CELLS_READ = 20_000
_MAX_COLUMNS, _MAX_ROWS = 96, 54
# Of all clicks, how many at each edge may lie outside the heatmap: one far away would shrink all the others to a dot.
_OUTLIERS = 0.005


@dataclass(frozen=True)
class Question:
    """What charts are to show: whole days (UTC), one user or all, some types or all, clicks of one page or of all."""

    days: Days
    user_id: str | None = None
    types: tuple[str, ...] = tuple(ActionType.values)
    page: str | None = None

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
    """Return the number of actions, in all and by type, and of users, each with its change from as many days before."""
    now, before = _metrics(question, question.days), _metrics(question, question.days.before)
    rows = [[name, value, before[name], _change(value, before[name])] for name, value in now.items()]
    links = {ActionType(name).plural: question.link(types=[name]) for name in question.types}
    metrics = "; ".join(f"{name}: {value:,} ({change})" for name, value, _, change in rows)
    return Chart(
        f"{_span(question.days)} (UTC), compared with {_span(question.days.before)}: {metrics}.",
        ["Metric", "This period", "Previous period", "Change"],
        rows,
        [links.get(name, question.link()) for name in now],
        {"periodBefore": _span(question.days.before)},
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
        return Chart("No actions in this period.")
    names = {moment: f"{moment.date()} {moment:%H:%M}" if unit == "hour" else f"{moment.date()}" for moment in buckets}
    busiest = max(buckets, key=lambda moment: buckets[moment].total())
    begins = f"{'starting ' if unit == 'week' else ''}{names[busiest]}"
    return Chart(
        f"{count_of(total, 'action')}. Busiest {unit}: {begins} (UTC), {count_of(buckets[busiest].total(), 'action')}.",
        [f"{unit.capitalize()} (UTC)", *(ActionType(name).plural for name in question.types)],
        [[names[moment], *(bucket[name] for name in question.types)] for moment, bucket in buckets.items()],
        [
            question.link(**{"from": _minute(moment), "to": _minute(moment + min(step, end - moment))})
            for moment in buckets
        ],
        {"unit": unit, "types": list(question.types)},
    )


def clicks_chart(question: Question) -> Chart:
    """Return where users clicked, in squares: on the question's page, or on all pages where it names none."""
    if ActionType.CLICK not in question.types:
        return _not_selected(ActionType.CLICK)
    found = counts.clicks(question.days, question.user_id, question.page, MAX_PAGES_OFFERED, _MAX_CELLS_READ)
    more: dict[str, Any] = {"pages": [list(row) for row in found.pages], "page": question.page}
    if not found.cells:
        return Chart("No clicks in this period.", more=more)
    total = sum(cell.total for cell in found.cells)
    left, right = _extent([(cell.x, cell.total) for cell in found.cells])
    top, bottom = _extent([(cell.y, cell.total) for cell in found.cells])
    scale = max(1, math.ceil((right - left + 1) / _MAX_COLUMNS), math.ceil((bottom - top + 1) / _MAX_ROWS))
    inside = [cell for cell in found.cells if left <= cell.x <= right and top <= cell.y <= bottom]
    squares = _merged(inside, scale)
    size = CELL_SIZE * scale
    (hot_x, hot_y), most = squares[0]
    summary = (
        f"{count_of(total, 'click')} in squares of {size} px. Hottest square:"
        f" x {_range(hot_x, size)}, y {_range(hot_y, size)}, {count_of(most, 'click')}."
    )
    outside = total - sum(count for _, count in squares)
    if outside:
        summary += f" {count_of(outside, 'click')} far from the others {'is' if outside == 1 else 'are'} not shown."
    edges = {"left": left, "right": right, "top": top, "bottom": bottom}
    return Chart(
        summary,
        ["X (px)", "Y (px)", "Clicks"],
        [[x * size, y * size, count] for (x, y), count in squares],
        [
            question.link(types=[ActionType.CLICK], box=f"{x * size},{y * size},{(x + 1) * size},{(y + 1) * size}")
            for (x, y), _ in squares
        ],
        {**more, "size": size, **{name: cell // scale * size for name, cell in edges.items()}},
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
    return f"{days.first.isoformat()} to {days.last.isoformat()}"


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
    """Return the first and the last place, without the outliers at either end.

    places: pairs of a place and its clicks; a place may come several times.
    """
    weights: defaultdict[int, int] = defaultdict(int)
    for place, count in places:
        weights[place] += count
    spare = sum(weights.values()) * _OUTLIERS
    ordered = sorted(weights)
    return _edge(ordered, weights, spare), _edge(ordered[::-1], weights, spare)


def _edge(ordered: Sequence[int], weights: dict[int, int], spare: float) -> int:
    left_out = 0
    for place in ordered:
        left_out += weights[place]
        if left_out > spare:
            return place
    return ordered[-1]
