"""Actions out of the store into files: CSV beside the API's own formats, and files that appear only when complete."""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from logs.api.renderers import CHUNK_CHARACTERS
from logs.lib import times
from logs.models import ActionRecord

CSV_COLUMNS = ("userId", "sessionId", "time", "type", "properties")

# Python's own default, 9, takes three times as long for a hundredth less.
_GZIP_LEVEL = 6


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


def render_csv(records: Iterable[ActionRecord]) -> Iterator[bytes]:
    """Yield CSV, one action a row with its properties as JSON, in chunks. https://www.rfc-editor.org/rfc/rfc4180"""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for _, user_id, session_id, time, action_type, properties in records:
        writer.writerow((user_id, session_id, times.format_time(time), action_type, properties))
        if text.tell() >= CHUNK_CHARACTERS:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name only once all of it is on the disk; until then it is beside it, as NAME.part.

    What is no ordinary file, such as /dev/null or a named pipe, is written to as it is. A symbolic link stays one.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def gzipped(file: Writable) -> Iterator[Writable]:
    """Compress what is written to a file; the same bytes make the same file, whenever that is."""
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0, filename="") as packed:
        yield packed


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
