"""Actions as a timeline: each one in words, with the time since the one before."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any, cast

from logs.admin.pages import Pager
from logs.lib import jsontext
from logs.lib.fields import JSONText
from logs.lib.text import count_of
from logs.models import Action, ActionQuerySet, ActionType

# How the pages of a session are cut.
session_pager = Pager(["time", "id"])
# A pause of this length or longer stands out in the timeline, and is cut to this length in the lanes.
PAUSE = timedelta(minutes=5)
# Properties may be 32 KiB long: longer texts than this have a page of their own.
LONGEST_TEXT_SHOWN = 2_000
# The lanes have so many places; actions that share one are a mark together.
PLACES = 160
# Of a longer session the lanes show the beginning.
MAX_IN_LANES = 100_000
# So many places apart, the times under the lanes don't run into each other.
_PLACES_A_TICK = 24


@dataclass(frozen=True)
class Entry:
    """An action as the lists show it.

    text: its properties as the JSON text that was stored.
    has_more: whether they have members that the words don't tell.
    gap: the time since the action before; None for the first one of a log.
    page: the page of a click, as far as it can be inferred; "" where that was not asked for.
    """

    action: Action
    words: str
    text: str
    has_more: bool
    gap: timedelta | None
    page: str = ""

    @property
    def pretty(self) -> str:
        return jsontext.indented(self.text)

    @property
    def is_short(self) -> bool:
        return len(self.text) <= LONGEST_TEXT_SHOWN

    @property
    def is_after_a_pause(self) -> bool:
        return self.gap is not None and self.gap >= PAUSE

    @property
    def gap_in_words(self) -> str:
        return "" if self.gap is None else f"+{duration(self.gap)}"


@dataclass(frozen=True)
class Mark:
    """The actions of one type at one place in the lanes.

    percent: how far along the lane it is.
    start: the time of the first of them.
    """

    type: ActionType
    percent: float
    start: datetime
    count: int

    @property
    def radius(self) -> float:
        return round(4 + min(4, math.log2(self.count) / 2), 1)

    @property
    def words(self) -> str:
        return count_of(self.count, self.type.label.lower(), self.type.plural.lower())


@dataclass(frozen=True)
class Tick:
    """A time under the lanes, that of the first action at its place."""

    percent: float
    time: datetime


@dataclass(frozen=True)
class Lanes:
    """A session drawn as one lane a type, with longer pauses cut to PAUSE.

    marks: by type, clicks first.
    pauses: how far along the lanes they are, in percent.
    is_whole: False where the session has more actions than MAX_IN_LANES.
    """

    marks: dict[ActionType, list[Mark]]
    ticks: list[Tick]
    pauses: list[float]
    is_whole: bool


def with_text(actions: ActionQuerySet) -> ActionQuerySet:
    """Load the actions' properties as the text that was stored, whose numbers no decoder has rounded."""
    return actions.annotate(text=JSONText("properties")).defer("properties")


def text_of(action: Action) -> str:
    """Return the properties of an action that was loaded with_text."""
    return cast(str, cast(Any, action).text)


def entries(actions: Iterable[Action], before: datetime | None) -> Iterator[Entry]:
    """Yield the entries of actions in order of time.

    actions: loaded with_text.
    before: the time of the action before the first; None for none.
    """
    for action in actions:
        text = text_of(action)
        action_type = ActionType(action.type)
        properties = cast(Mapping[str, object], jsontext.decode(text))
        has_more = not set(properties) <= set(action_type.members)
        gap = None if before is None else action.time - before
        yield Entry(action, action_type.sentence(properties), text, has_more, gap, getattr(action, "page", None) or "")
        before = action.time


def lanes(actions: ActionQuerySet) -> Lanes:
    """Draw the actions of a session along the lanes, by time.

    actions: all those of one log.
    """
    found = list(actions.order_by("time", "id").values_list("time", "type")[: MAX_IN_LANES + 1])
    times = [time for time, _ in found[:MAX_IN_LANES]]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    seconds = [0.0, *accumulate(min(gap, PAUSE).total_seconds() for gap in gaps)]
    places = [int(second / (seconds[-1] or 1) * (PLACES - 1)) for second in seconds[: len(times)]]
    starts: dict[tuple[str, int], datetime] = {}
    counts: Counter[tuple[str, int]] = Counter()
    ticks: dict[int, datetime] = {}
    for place, (time, action_type) in zip(places, found, strict=False):
        counts[action_type, place] += 1
        starts.setdefault((action_type, place), time)
        if not ticks or place >= next(reversed(ticks)) + _PLACES_A_TICK:
            ticks[place] = time
    marks: dict[ActionType, list[Mark]] = {action_type: [] for action_type in ActionType}
    for (action_type, place), start in starts.items():
        mark = Mark(ActionType(action_type), _percent(place), start, counts[action_type, place])
        marks[mark.type].append(mark)
    pauses = sorted({_percent(places[index + 1]) for index, gap in enumerate(gaps) if gap >= PAUSE})
    return Lanes(
        marks, [Tick(_percent(place), time) for place, time in ticks.items()], pauses, len(found) == len(times)
    )


def _percent(place: int) -> float:
    return round(100 * (place + 0.5) / PLACES, 2)


def duration(span: timedelta) -> str:
    """Say a length of time in its two largest units: `2 h 5 min`."""
    seconds = span.total_seconds()
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    parts = []
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        amount, seconds = divmod(int(seconds), length)
        if amount:
            parts.append(f"{amount:,} {name}")
    return " ".join(parts[:2])
