"""Actions as a timeline: each one in words, with the time since the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from logs.lib import jsontext
from logs.lib.fields import JSONText
from logs.models import Action, ActionQuerySet, ActionType

# A pause of this length or longer stands out in the timeline, and is cut to this length in the lanes.
PAUSE = timedelta(minutes=5)
# Properties may be 32 KiB long: longer texts than this have a page of their own.
LONGEST_TEXT_SHOWN = 2_000
_LANE_WIDTH, _LANE_HEIGHT = 960, 24


@dataclass(frozen=True)
class Entry:
    """An action as the lists show it.

    text: its properties as the JSON text that was stored.
    has_more: whether they have members that the words don't tell.
    gap: the time since the action before; None for the first one of a log.
    """

    action: Action
    words: str
    text: str
    has_more: bool
    gap: timedelta | None

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
    """An action in the lanes; x and y are in the units of the drawing."""

    x: float
    y: int
    entry: Entry


@dataclass(frozen=True)
class Lanes:
    """A timeline drawn as one lane a type, clicks on top.

    width, height: of the drawing, in its own units.
    lines: where the lanes are, from the top.
    """

    width: int
    height: int
    lines: list[int]
    marks: list[Mark]


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
        yield Entry(action, action_type.sentence(properties), text, has_more, gap)
        before = action.time


def lanes(timeline: Sequence[Entry]) -> Lanes:
    """Draw the entries along the lanes, by time, with longer pauses cut to PAUSE."""
    seconds = 0.0
    places: list[float] = []
    for entry in timeline:
        seconds += min(entry.gap or timedelta(0), PAUSE).total_seconds() if places else 0
        places.append(seconds)
    scale = _LANE_WIDTH / (seconds or 1)
    lines = {action_type: _LANE_HEIGHT * index + _LANE_HEIGHT // 2 for index, action_type in enumerate(ActionType)}
    marks = [
        Mark(round(place * scale, 1), lines[ActionType(entry.action.type)], entry)
        for place, entry in zip(places, timeline, strict=True)
    ]
    return Lanes(_LANE_WIDTH, _LANE_HEIGHT * len(lines), list(lines.values()), marks)


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
