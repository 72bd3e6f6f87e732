"""What Insights shows of a range of days: each picture's rows, and the sentence that says them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from logs.models import ActionType, RollupKind
from logs.store import rollups
from logs.store.rollups import CELL_SIZE, Days, counts, start_of

STRONGEST_FLOWS = 30
LONGEST_LIST = 20
MAX_PAGES_OFFERED = 100
_MAX_CELLS_READ = 20_000
_MAX_COLUMNS, _MAX_ROWS = 96, 54
# Of all clicks, how many at each edge may lie outside the picture: one far away would shrink all the others to a dot.
_OUTLIERS = 0.005
MINUTE_FORMAT = "%Y-%m-%dT%H:%M"


@dataclass(frozen=True)
class Question:
    """What is asked: whole days (UTC), one user or everybody, some types or all, clicks of one page or of all."""

    days: Days
    user_id: str | None = None
    types: tuple[str, ...] = tuple(ActionType.values)
    page: str | None = None

    def link(self, **changes: Any) -> str:
        """The address of the list of the actions behind a mark."""
        start, end = self.days.bounds
        query = {
            "user": self.user_id or "",
            "types": list(self.types) if len(self.types) < len(ActionType) else [],
            "from": start.strftime(MINUTE_FORMAT),
            "to": end.strftime(MINUTE_FORMAT),
            **changes,
        }
        chosen = {name: value for name, value in query.items() if value or value == 0}
        return f"{reverse('admin:logs_action_changelist')}?{urlencode(chosen, doseq=True)}"


@dataclass(frozen=True)
class Picture:
    """The data of one picture, which its table shows too.

    summary: the figures in words. rows: as wide as columns. links: one a row. more: what the drawing needs besides.
    """

    summary: str
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)


def figures(question: Question) -> Picture:
    """The totals, each with its change against as many days before."""
    now, before = _totals(question, question.days), _totals(question, question.days.before)
    rows = [[name, now[name], before[name], _change(now[name], before[name])] for name in now]
    said = "; ".join(f"{name}: {value:,} ({change})" for name, value, _, change in rows)
    range_before = f"{question.days.before.first.isoformat()} to {question.days.before.last.isoformat()}"
    return Picture(
        f"{_span(question.days)}: {said}. Compared with {range_before}.",
        ["Figure", "In this range", "In the range before", "Change"],
        rows,
        [question.link(types=_LINKED[name]) if name in _LINKED else question.link() for name in now],
        {"rangeBefore": range_before},
    )


def activity(question: Question) -> Picture:
    """Actions over time by type, by hour, day or week."""
    unit, step = _unit(len(question.days))
    found = counts(RollupKind.ACTIVITY, question.days, ["day", "x", "label"], **_of_types("label", question))
    buckets: dict[datetime, Counter[str]] = {}
    start, end = question.days.bounds
    # Weeks are counted from the first day of the range: all of them are whole, and comparable.
    for index in range(math.ceil((end - start) / step)):
        buckets[start + index * step] = Counter()
    for day, hour, action_type, count in found:
        moment = start_of(_as_date(day)) + timedelta(hours=hour)
        buckets[start + (moment - start) // step * step][action_type] += int(count)
    total = sum(bucket.total() for bucket in buckets.values())
    if not total:
        return Picture("No actions in this range.")
    busiest = max(buckets, key=lambda moment: buckets[moment].total())
    summary = (
        f"{total:,} actions, by {unit} (UTC). The busiest {unit} begins {busiest:%Y-%m-%d %H:%M},"
        f" with {buckets[busiest].total():,} actions."
    )
    return Picture(
        summary,
        [f"{unit.capitalize()} (UTC)", *(ActionType(name).label for name in question.types)],
        [
            [moment.strftime("%Y-%m-%d %H:%M" if unit == "hour" else "%Y-%m-%d"), *(bucket[t] for t in question.types)]
            for moment, bucket in buckets.items()
        ],
        [
            question.link(**{"from": m.strftime(MINUTE_FORMAT), "to": min(m + step, end).strftime(MINUTE_FORMAT)})
            for m in buckets
        ],
        {"unit": unit, "types": list(question.types)},
    )


def clicks(question: Question) -> Picture:
    """Where was clicked, in squares; of one page only where the question names one."""
    if ActionType.CLICK not in question.types:
        return Picture("Clicks are not among the chosen types.")
    pages, cells = rollups.clicks(question.days, question.user_id, question.page, MAX_PAGES_OFFERED, _MAX_CELLS_READ)
    more = {"pages": [[page, count] for page, count in pages.items()], "page": question.page}
    if not cells:
        return Picture("No clicks in this range.", more=more)
    total = sum(cells.values())
    (left, right), (top, bottom) = (_extent(cells, axis) for axis in (0, 1))
    scale = max(1, math.ceil((right - left + 1) / _MAX_COLUMNS), math.ceil((bottom - top + 1) / _MAX_ROWS))
    merged: Counter[tuple[int, int]] = Counter()
    for (x, y), count in cells.items():
        if left <= x <= right and top <= y <= bottom:
            merged[x // scale, y // scale] += count
    size = CELL_SIZE * scale
    shown = merged.total()
    (hot_x, hot_y), most = merged.most_common(1)[0]
    summary = (
        f"{total:,} clicks in squares of {size} pixels; the most, {most:,},"
        f" at {hot_x * size} to {(hot_x + 1) * size} across and {hot_y * size} to {(hot_y + 1) * size} down."
    )
    if shown < total:
        summary += f" {total - shown:,} clicks far from the others are outside the picture."
    ordered = merged.most_common()
    return Picture(
        summary,
        ["Across from", "Down from", "Clicks"],
        [[x * size, y * size, count] for (x, y), count in ordered],
        [
            question.link(types=["CLICK"], box=f"{x * size},{y * size},{(x + 1) * size},{(y + 1) * size}")
            for (x, y), _ in ordered
        ],
        {
            **more,
            "size": size,
            "left": left // scale * size,
            "right": right // scale * size,
            "top": top // scale * size,
            "bottom": bottom // scale * size,
        },
    )


def flow(question: Question) -> Picture:
    """The strongest ways from page to page."""
    if ActionType.NAVIGATE not in question.types:
        return Picture("Navigations are not among the chosen types.")
    found = counts(
        RollupKind.FLOW,
        question.days,
        ["label", "other"],
        user_id=question.user_id,
        ending=f"ORDER BY 3 DESC, 1, 2 LIMIT {STRONGEST_FLOWS}",
    )
    rows = [[page_from, page_to, int(count)] for page_from, page_to, count in found]
    summary = "No navigations in this range."
    if rows:
        summary = f"The strongest of the {len(rows)} ways shown: {rows[0][0]} → {rows[0][1]}, {rows[0][2]:,} times."
    links = [question.link(types=["NAVIGATE"], pageFrom=row[0], pageTo=row[1]) for row in rows]
    return Picture(summary, ["From", "To", "Navigations"], rows, links)


def views(question: Question) -> Picture:
    """The ids viewed most."""
    if ActionType.VIEW not in question.types:
        return Picture("Views are not among the chosen types.")
    found = counts(
        RollupKind.VIEWS,
        question.days,
        ["label"],
        user_id=question.user_id,
        ending=f"ORDER BY 2 DESC, 1 LIMIT {LONGEST_LIST}",
    )
    rows = [[viewed_id, int(count)] for viewed_id, count in found]
    summary = f"Viewed most: {rows[0][0]}, {rows[0][1]:,} times." if rows else "No views in this range."
    links = [question.link(types=["VIEW"], viewedId=row[0]) for row in rows]
    return Picture(summary, ["Viewed id", "Views"], rows, links)


def users(question: Question) -> Picture:
    """The users with the most actions."""
    found = counts(
        RollupKind.USERS,
        question.days,
        ["label"],
        **_of_types("other", question),
        ending=f"ORDER BY 2 DESC, 1 LIMIT {LONGEST_LIST}",
    )
    rows = [[user_id, int(count)] for user_id, count in found]
    summary = f"The busiest user: {rows[0][0]}, {rows[0][1]:,} actions." if rows else "No users in this range."
    return Picture(summary, ["User", "Actions"], rows, [question.link(user=row[0]) for row in rows])


PICTURES: dict[str, Callable[[Question], Picture]] = {
    draw.__name__: draw for draw in (figures, activity, clicks, flow, views, users)
}

_FIGURES = {ActionType.CLICK: "Clicks", ActionType.VIEW: "Views", ActionType.NAVIGATE: "Navigations"}
_LINKED = {figure: [action_type.value] for action_type, figure in _FIGURES.items()}


def _totals(question: Question, days: Days) -> dict[str, int]:
    found = counts(RollupKind.ACTIVITY, days, ["label"], **_of_types("label", question))
    by_type = {action_type: int(count) for action_type, count in found}
    totals = {"Actions": sum(by_type.values())}
    totals.update({_FIGURES[ActionType(name)]: by_type.get(name, 0) for name in question.types})
    if question.user_id is None:
        active = counts(RollupKind.USERS, days, [], figure="COUNT(DISTINCT label)", **_of_types("other", question))
        totals["Users"] = int(active[0][0])
    return totals


def _of_types(column: str, question: Question) -> dict[str, Any]:
    places = ", ".join(["%s"] * len(question.types))
    return {"conditions": f"{column} IN ({places})", "values": question.types, "user_id": question.user_id}


def _change(now: int, before: int) -> str:
    if not before:
        return "none before" if now else "as before"
    percent = round(100 * (now - before) / before)
    return f"{percent:+,} %" if percent else "as before"


def _unit(days: int) -> tuple[str, timedelta]:
    if days <= 7:
        return "hour", timedelta(hours=1)
    return ("day", timedelta(days=1)) if days <= 62 else ("week", timedelta(weeks=1))


def _span(days: Days) -> str:
    return f"{days.first.isoformat()} to {days.last.isoformat()} (UTC)"


def _extent(cells: dict[tuple[int, int], int], axis: int) -> tuple[int, int]:
    weights: defaultdict[int, int] = defaultdict(int)
    for cell, count in cells.items():
        weights[cell[axis]] += count
    spare = sum(weights.values()) * _OUTLIERS
    ordered = sorted(weights)
    return _edge(ordered, weights, spare), _edge(ordered[::-1], weights, spare)


def _edge(positions: list[int], weights: dict[int, int], spare: float) -> int:
    passed = 0
    for position in positions:
        passed += weights[position]
        if passed > spare:
            return position
    return positions[-1]


def _as_date(value: date | str) -> date:
    # SQLite has no dates.
    return date.fromisoformat(value) if isinstance(value, str) else value
