"""One log as a story: each action in words, with the time since the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from logs.lib import jsontext
from logs.lib.fields import JSONText
from logs.lib.jsontext import JSONValue
from logs.models import Action, ActionQuerySet, ActionType

# A gap of this length or longer stands out in the timeline, and is folded in the picture of it.
IDLE = timedelta(minutes=5)
# Properties may be 32 KiB long: longer ones than this have a page of their own.
LONGEST_TEXT_SHOWN = 2_000
_SAID = {"locationX", "locationY", "viewedId", "pageFrom", "pageTo"}
_LANES = {ActionType.CLICK: 14, ActionType.VIEW: 38, ActionType.NAVIGATE: 62}
_LANE_WIDTH = 960


@dataclass(frozen=True)
class Entry:
    """An action as the timeline shows it; gap is None for the first one of a log."""

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
        return self.gap is not None and self.gap >= IDLE

    @property
    def gap_in_words(self) -> str:
        return "" if self.gap is None else f"+{duration(self.gap)}"


@dataclass(frozen=True)
class Mark:
    """An action in the picture of a timeline, which is _LANE_WIDTH wide."""

    x: float
    y: int
    entry: Entry


def with_text(actions: ActionQuerySet) -> ActionQuerySet:
    """The actions with their properties as the text that was stored, whose numbers no decoder has rounded."""
    return actions.annotate(text=JSONText("properties")).defer("properties")


def entries(actions: Iterable[Action], before: datetime | None) -> Iterator[Entry]:
    """Yield the entries of actions in order of time; before: the time of the one before the first, None for none.

    actions: of with_text().
    """
    for action in actions:
        properties = jsontext.decode(action.text)
        has_more = not set(properties) <= _SAID
        gap = None if before is None else action.time - before
        yield Entry(action, in_words(action.type, properties), action.text, has_more, gap)
        before = action.time


def in_words(action_type: str, properties: dict[str, JSONValue]) -> str:
    """Say what an action was: `clicked at 52, 11`."""
    match action_type:
        case ActionType.CLICK:
            return f"clicked at {properties['locationX']}, {properties['locationY']}"
        case ActionType.VIEW:
            return f"viewed {properties['viewedId']}"
        case _:
            return f"went {properties['pageFrom']} → {properties['pageTo']}"


def marks(timeline: list[Entry]) -> list[Mark]:
    """Place the entries along three lanes, by time, with pauses folded to the length of IDLE."""
    seconds, places = 0.0, []
    for entry in timeline:
        seconds += min(entry.gap or timedelta(0), IDLE).total_seconds() if places else 0
        places.append(seconds)
    scale = _LANE_WIDTH / (seconds or 1)
    return [
        Mark(round(place * scale, 1), _LANES[ActionType(entry.action.type)], entry)
        for place, entry in zip(places, timeline, strict=True)
    ]


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
