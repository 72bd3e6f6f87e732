"""The rows that the store takes and gives: what is appended, and what is counted."""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum, auto
from typing import NamedTuple, TypedDict

from logs.models import ActionType


class ActionRow(NamedTuple):
    """A validated action; time is in UTC, properties is JSON text."""

    time: datetime
    type: str
    properties: str


class LogRow(TypedDict):
    """A validated log, its actions in the order received."""

    user_id: str
    session_id: str
    actions: list[ActionRow]


class ActivityRow(NamedTuple):
    """How many actions of a type an hour of a day had."""

    day: date
    hour: int
    type: ActionType
    total: int


class FlowRow(NamedTuple):
    """How often users went from one page to another."""

    page_from: str
    page_to: str
    total: int


class NameRow(NamedTuple):
    """How often a name came up: an ID that was viewed, a user or a page."""

    name: str
    total: int


class CellRow(NamedTuple):
    """How many clicks a square had; x and y are counted in squares, not in pixels."""

    x: int
    y: int
    total: int


class ClickPages(Enum):
    """Whose clicks are shown where no page is named: those of the most clicked one, or all, one over the other."""

    MOST_CLICKED = auto()
    ALL = auto()


class Clicks(NamedTuple):
    """The pages and the squares with the most clicks, most first.

    The page "" stands for the clicks whose page is not known. page: whose squares they are.
    """

    page: str | ClickPages
    pages: list[NameRow]
    cells: list[CellRow]
