"""Actions as a file, streamed from one snapshot: CSV for a spreadsheet, NDJSON for a program."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from decimal import Decimal

from logs.lib import jsontext, times
from logs.lib.transactions import snapshot
from logs.models import ActionQuerySet, ActionRecord
from logs.store.read import ROWS_AT_ONCE

_MEMBERS = ("locationX", "locationY", "viewedId", "pageFrom", "pageTo")
CSV_COLUMNS = ("time", "userId", "sessionId", "type", *_MEMBERS, "properties")
_ROWS_A_CHUNK = 200
# What a spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class FileFormat:
    content_type: str
    heading: str
    line: Callable[[ActionRecord], str]


class ActionExport:
    """The bytes of a file of ordered actions, read while they are iterated; close() ends the snapshot.

    The first chunk is read at once: a database that is away raises here, before anything is sent.
    """

    def __init__(self, actions: ActionQuerySet, file_format: str) -> None:
        with ExitStack() as stack:
            stack.enter_context(snapshot())
            records = map(ActionRecord._make, actions.with_log().records().iterator(chunk_size=ROWS_AT_ONCE))
            self._chunks = stack.enter_context(closing(_chunks(records, FORMATS[file_format])))
            self._first = next(self._chunks)
            self.close = stack.pop_all().close

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        yield from self._chunks


def _chunks(records: Iterable[ActionRecord], file_format: FileFormat) -> Iterator[bytes]:
    lines = [file_format.heading]
    for record in records:
        lines.append(file_format.line(record))
        if len(lines) >= _ROWS_A_CHUNK:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode()


def _csv_line(record: ActionRecord) -> str:
    properties = jsontext.decode(record.properties)
    return _csv_row(
        times.format_time(record.time),
        _plain(record.user_id),
        _plain(record.session_id),
        record.type,
        *(_cell(properties.get(name)) for name in _MEMBERS),
        record.properties,
    )


def _cell(value: jsontext.JSONValue) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return str(value)
    return _plain(value if isinstance(value, str) else jsontext.encode(value))


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv_row(*cells: str) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _ndjson_line(record: ActionRecord) -> str:
    head = json.dumps(
        {
            "userId": record.user_id,
            "sessionId": record.session_id,
            "time": times.format_time(record.time),
            "type": record.type,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return f'{head[:-1]},"properties":{record.properties}}}\n'


FORMATS = {
    "csv": FileFormat("text/csv; charset=utf-8", _csv_row(*CSV_COLUMNS), _csv_line),
    "ndjson": FileFormat("application/x-ndjson", "", _ndjson_line),
}
