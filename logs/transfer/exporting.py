"""Actions out of the store: CSV beside the API's own formats, streamed from one snapshot, and whole files alone."""

from __future__ import annotations

import csv
import gzip
import io
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from django.db import Error
from django.db.models import QuerySet

from logs.api.renderers import ARRAY, CHUNK_CHARACTERS, LINES, render
from logs.api.responses import SnapshotStream
from logs.lib import jsontext, replicas, times
from logs.models import AccessKind, Action, ActionQuerySet, ActionRecord, ActionType
from logs.store import access_records
from logs.store.read import ROWS_AT_ONCE

_MEMBERS = [member for action_type in ActionType for member in action_type.members]
CSV_COLUMNS = ("time", "userId", "sessionId", "type", *_MEMBERS, "properties")
# What a spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

# Python's own default, 9, takes three times as long for a hundredth less.
_GZIP_LEVEL = 6


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


@dataclass(frozen=True)
class FileFormat:
    """A format of exported actions.

    select: makes of ordered actions, joined with their logs, the rows that render takes.
    render: turns those rows into the file's bytes, chunk by chunk; for JSON and NDJSON the actions of a log are one log
    where they are neighbours.
    """

    content_type: str
    select: Callable[[ActionQuerySet], QuerySet[Action, Any]]
    render: Callable[[Iterable[Any]], Generator[bytes]]


def render_csv(records: Iterable[ActionRecord]) -> Generator[bytes]:
    """Yield CSV in chunks: one action a row, under CSV_COLUMNS. https://www.rfc-editor.org/rfc/rfc4180

    A text that a spreadsheet would take for a formula has a ' in front; properties, as JSON, never needs one.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for _, user_id, session_id, time, action_type, properties in records:
        value = jsontext.decode(properties)
        members = value if isinstance(value, dict) else {}
        cells = [_cell(members.get(name)) for name in _MEMBERS]
        writer.writerow((times.format_time(time), _plain(user_id), _plain(session_id), action_type, *cells, properties))
        if text.tell() >= CHUNK_CHARACTERS:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


FORMATS = {
    "ndjson": FileFormat("application/x-ndjson", ActionQuerySet.wire_records, partial(render, layout=LINES)),
    "json": FileFormat("application/json", ActionQuerySet.wire_records, partial(render, layout=ARRAY)),
    "csv": FileFormat("text/csv; charset=utf-8", ActionQuerySet.records, render_csv),
}


class RecordedExport:
    """The bytes of a file of actions, from one snapshot; the export is on record: see logs.store.access_records.

    The record is there before anything is read; how many actions were taken out is added once the file is read to its
    end, or close() has ended it before.

    logs, actions: how many were taken out so far.
    """

    def __init__(
        self,
        actions: ActionQuerySet,
        file_format: FileFormat,
        by: str,
        selection: str,
        user_id: str,
        advance: Callable[[int], object] = lambda count: None,
    ) -> None:
        """Note an export and begin it.

        actions: ordered, and joined with their logs.
        by, selection, user_id: as of access_records.note(), whose error is raised, too.
        advance: called with how many more actions were taken out, now and then and at the end.
        Raises django.db.Error when the database is away: nothing is written before the first rows are read.
        """
        self._is_noted = False
        self._advance = advance
        self._record = access_records.note(AccessKind.EXPORT, by, selection, user_id)
        self._stream = replicas.read(lambda: self._begin(actions, file_format))

    def _begin(self, actions: ActionQuerySet, file_format: FileFormat) -> SnapshotStream:
        self.logs = self.actions = 0
        stream = SnapshotStream()
        stream.start(file_format.select(actions), lambda rows: file_format.render(self._counted(rows)))
        return stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream
        self._note_count()

    def close(self) -> None:
        self._stream.close()
        self._note_count()

    def _counted(self, rows: Iterable[Any]) -> Iterator[Any]:
        log_id = None
        for self.actions, row in enumerate(rows, start=1):
            # Of all formats it is the first column, by which the actions are ordered.
            if row[0] != log_id:
                log_id = row[0]
                self.logs += 1
            yield row
            if self.actions % ROWS_AT_ONCE == 0:
                self._advance(ROWS_AT_ONCE)
        self._advance(self.actions % ROWS_AT_ONCE)

    def _note_count(self) -> None:
        if self._is_noted:
            return
        # What was sent is on record; that nobody can add how many it was stops nobody who has it.
        with suppress(Error):
            access_records.note_count(self._record, self.actions)
        self._is_noted = True


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name only once all of it is on the disk; what had the name before stays until then.

    It keeps the mode of the file that it replaces, and its owner where that is allowed. A symbolic link stays one. What
    is no ordinary file, such as /dev/null or a named pipe, is written to as it is.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    # A folder of its own beside it: nobody else writes there or reads what is not complete, and the new file gets its
    # mode from the umask like any other.
    with _folder_beside(path) as folder:
        part = folder / path.name
        with part.open("wb") as file:
            yield file
            file.flush()
            _take_over_mode(path, file.fileno())
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)


@contextmanager
def gzipped(file: Writable) -> Iterator[Writable]:
    """Compress what is written to a file; the same bytes make the same file, whenever that is."""
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0, filename="") as packed:
        yield packed


def _cell(value: jsontext.JSONValue) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return str(value)
    return _plain(value if isinstance(value, str) else jsontext.encode(value))


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".incomplete-")
    except OSError as error:
        # The name that was asked for, not one that nobody has heard of.
        error.filename = str(path)
        raise
    with folder as name:
        yield Path(name)


def _take_over_mode(path: Path, file: int) -> None:
    try:
        before = path.stat()
    except FileNotFoundError:
        return
    for user, group in ((-1, before.st_gid), (before.st_uid, -1)):
        with suppress(PermissionError):
            os.fchown(file, user, group)
    # After the owner, whose change takes bits away.
    os.fchmod(file, before.st_mode & 0o7777)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
