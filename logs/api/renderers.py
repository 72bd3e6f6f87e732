"""Actions in log order to the bytes of an answer, one pass in constant memory; JSON and NDJSON."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from rest_framework import renderers

from logs.models import WireRecord

CHUNK_CHARACTERS = 64 * 1024
# Each may have properties of 32 KiB.
ACTIONS_AT_ONCE = 100

encode_string = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class Layout:
    """What stands around the logs of an answer."""

    opening: str
    separator: str
    ending: str
    closing: str


ARRAY = Layout(opening="[", separator=",", ending="", closing="]")
LINES = Layout(opening="", separator="", ending="\n", closing="")


class JSONRenderer(renderers.JSONRenderer):
    layout = ARRAY


class NDJSONRenderer(JSONRenderer):
    """One JSON text a line. https://github.com/ndjson/ndjson-spec"""

    media_type = "application/x-ndjson"
    format = "ndjson"
    layout = LINES

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return super().render(data, *args, **kwargs) + b"\n"


# By their names in `format`.
FORMATS = {renderer.format: renderer for renderer in (JSONRenderer, NDJSONRenderer)}


def render(records: Iterable[WireRecord], layout: Layout) -> Generator[bytes]:
    """Yield an answer in chunks of about CHUNK_CHARACTERS.

    records: in log order, so that the actions of a log are neighbours.
    """
    pieces: list[str] = []
    size = 0
    for piece in _pieces(records, layout):
        pieces.append(piece)
        size += len(piece)
        if size >= CHUNK_CHARACTERS:
            yield "".join(pieces).encode()
            pieces.clear()
            size = 0
    yield "".join(pieces).encode()


def _pieces(records: Iterable[WireRecord], layout: Layout) -> Iterator[str]:
    yield layout.opening
    separator = ""
    for (_, user_id, session_id), actions in groupby(records, key=itemgetter(0, 1, 2)):
        yield f'{separator}{{"userId":{encode_string(user_id)},"sessionId":{encode_string(session_id)},"actions":['
        comma = ""
        while some := [action for _, _, _, action in islice(actions, ACTIONS_AT_ONCE)]:
            yield comma + ",".join(some)
            comma = ","
        yield "]}" + layout.ending
        separator = layout.separator
    yield layout.closing
