"""A file of logs, or stdin, taken apart into the texts of its logs: a JSON array or NDJSON, gzipped or not.

ijson would stream the array as well, but it reads -0 as 0 and a lone surrogate as a question mark, where the store
keeps the one and refuses the other. So an array is only cut at its commas here, and jsontext decodes each log as it
does for the API.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import stat
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

# The text of one log is held in memory: about two million actions.
MAX_LOG_BYTES = 256 * 1024 * 1024
READ_BYTES = 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# From anywhere to the next mark; a quotation mark alone opens a string that has not been read to its end yet.
_mark_between_logs = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb')*+(["\[\]{},])', re.DOTALL).match
_mark_within_log = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb')*+(["\[\]{}])', re.DOTALL).match


class SourceError(Exception):
    """A file that can't be read on: what is wrong, and where."""


@dataclass(frozen=True, slots=True)
class LogText:
    """The JSON text of one log.

    index: its place for a pointer: that of the line in NDJSON, of the element in an array, from 0.
    line: the line it begins in, from 1.
    may_be_cut: it ended with the file, not with a line's end.
    """

    index: int
    line: int
    text: bytes
    may_be_cut: bool = False


def readable_size(name: str) -> int | None:
    """Return how many bytes a file that can be read has, None for stdin and other files without a size.

    name: a path, or "-" for stdin.
    Raises OSError for a file that is not there, or may not be read.
    """
    if name == "-":
        return None
    status = os.stat(name)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not os.access(name, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class Source:
    """A file to read logs from; a context manager that closes it.

    name: a path, or "-" for stdin, which stays open.
    Raises OSError when it can't be opened.
    """

    def __init__(self, name: str) -> None:
        if name == "-":
            self._file = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
        else:
            self._file = open(name, "rb")  # noqa: SIM115
        self._is_regular = name != "-" and Path(name).is_file()

    @property
    def position(self) -> int:
        """How many bytes of the file have been read; 0 for stdin."""
        return self._file.tell() if self._is_regular else 0

    def logs(self) -> Iterator[LogText]:
        """Yield each log. Raises SourceError for a file that is no text of logs, or breaks off."""
        try:
            stream = self._file
            if stream.peek(1)[:1] == b"\x1f":
                # No JSON text begins with the first byte of gzip.
                stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), READ_BYTES)
            _skip_bom(stream)
            blank_lines = _skip_blank(stream)
            if stream.peek(1)[:1] == b"[":
                yield from _elements(stream, blank_lines + 1)
            else:
                yield from _lines(stream, blank_lines)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise SourceError(f"The gzip stream is broken or cut short: {error}.") from None

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _skip_bom(stream: io.BufferedReader) -> None:
    first = stream.peek(1)[:1]
    if first in (b"\xfe", b"\xff"):
        raise SourceError("The file is in UTF-16: convert it to UTF-8.")
    if first == _BOM[:1] and stream.read(len(_BOM)) != _BOM:
        raise SourceError("The file is neither JSON nor gzip.")


def _skip_blank(stream: io.BufferedReader) -> int:
    """Skip to the first character that says something, and return how many lines that took."""
    lines = 0
    while (first := stream.peek(1)[:1]) and first in _BLANK:
        stream.read(1)
        lines += first == b"\n"
    return lines


def _lines(stream: io.BufferedReader, first_index: int) -> Iterator[LogText]:
    index = first_index
    while line := stream.readline(MAX_LOG_BYTES + 1):
        _check_size(len(line), index + 1)
        if text := line.strip(_BLANK):
            yield LogText(index, index + 1, text, may_be_cut=not line.endswith(b"\n"))
        index += 1


def _elements(stream: io.BufferedReader, line: int) -> Iterator[LogText]:
    stream.read(1)
    buffer, start, scanned, depth, index = b"", 0, 0, 0, 0
    while True:
        # As much again as is waiting, so that a log of many megabytes is not scanned once for each read.
        more = stream.read(max(READ_BYTES, len(buffer) - start))
        if not more:
            raise SourceError(f"Line {line}: the array breaks off.")
        buffer, scanned, start = buffer[start:] + more, scanned - start, 0
        while (found := (_mark_within_log if depth else _mark_between_logs)(buffer, scanned)) and found[1] != b'"':
            mark, scanned = found[1], found.end()
            if mark in b"[{":
                depth += 1
            elif depth:
                depth -= 1
            else:
                text = buffer[start : scanned - 1]
                body = text.strip(_BLANK)
                line += text[: text.find(body)].count(b"\n")
                if body:
                    yield LogText(index, line, body)
                elif index or mark == b",":
                    raise SourceError(f"Line {line}: a comma of the array has no log beside it.")
                if mark != b",":
                    _check_nothing_follows(buffer[scanned:], stream, line)
                    return
                line += text[text.find(body) :].count(b"\n")
                start, index = scanned, index + 1
        _check_size(len(buffer) - start, line)


def _check_nothing_follows(rest: bytes, stream: io.BufferedReader, line: int) -> None:
    while rest or (rest := stream.read(READ_BYTES)):
        if rest.strip(_BLANK):
            raise SourceError(f"Line {line}: something follows the end of the array.")
        rest = b""


def _check_size(size: int, line: int) -> None:
    if size > MAX_LOG_BYTES:
        raise SourceError(f"Line {line}: a log is longer than {MAX_LOG_BYTES // 2**20} MiB.")
