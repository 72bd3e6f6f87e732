"""Logs from a file into the store, in chunks, each in a transaction of its own; what is stored already is left out.

So a run that was killed goes on where it stopped, a file that has grown brings only what is new, and the store's own
export brings nothing. What others store while an import runs is not looked at.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db import connection
from rest_framework.exceptions import ValidationError

from logs.api.bodies import Undecodable, why_not_json
from logs.api.plain import read_plain
from logs.api.properties import read_other_properties
from logs.api.serializers import LogSerializer
from logs.api.violations import violations
from logs.lib import jsontext
from logs.lib.jsontext import JSONValue
from logs.lib.locks import only_one
from logs.lib.text import count_of
from logs.store.append import ErasedBatchError, append
from logs.store.known import KnownActions
from logs.store.rows import LogRow
from logs.transfer.mongodb import from_mongodb
from logs.transfer.rejects import Reject, without_erased
from logs.transfer.sources import LogText, SourceError

# A chunk ends with the log that makes it this long, about 16,000 actions.
CHUNK_BYTES = 2 * 1024 * 1024


def validate(logs: Sequence[LogText]) -> tuple[list[LogRow], list[Reject]]:
    """Return the rows of the logs that may be stored, and the others, each in the order of the texts.

    Raises SourceError for a log that is not JSON because the file breaks off in it.
    """
    # A line's end within a log is a blank between its values.
    lines = b"\n".join([log.text.replace(b"\n", b" ") for log in logs])
    plain = read_plain(lines, True, read_other_properties)
    if plain is not None:
        return plain, []
    rows: list[LogRow] = []
    rejects: list[Reject] = []
    serializer = LogSerializer()
    for source in logs:
        value = _decode(source.text)
        if isinstance(value, Undecodable) and source.may_be_cut:
            raise SourceError(f"Line {source.line}: the file breaks off in the middle of a log.")
        try:
            log = value if isinstance(value, Undecodable) else from_mongodb(value)
            rows.append(serializer.run_validation(log))
        except ValidationError as error:
            rejects.append(Reject(source, value, list(violations({source.index: error.detail}))))
    return rows, rejects


def _decode(text: bytes) -> JSONValue | Undecodable:
    try:
        return jsontext.decode(text.decode())
    except ValueError as error:
        return Undecodable(why_not_json(error))


class RefusedImportError(Exception):
    """Logs of one chunk that may not be stored, in an import that stops at the first such chunk."""

    def __init__(self, rejects: Sequence[Reject]) -> None:
        self.rejects = rejects
        super().__init__(f"{count_of(len(rejects), 'log')} refused")


class OtherImportError(Exception):
    """Another import into the store is at work."""

    def __init__(self) -> None:
        super().__init__("Another import is at work. Run the same command once it is done.")


@dataclass
class ImportResult:
    """What an import did.

    logs, actions: what was stored; logs are those of the file, several of which may be one of the store.
    known_actions: those that were there already.
    rejected: logs that may not be stored.
    """

    logs: int = 0
    actions: int = 0
    known_actions: int = 0
    rejected: int = 0


@dataclass
class Importer:
    """One run over one source of logs.

    on_reject: called with each log that may not be stored, before its chunk is stored without it; where it is None, the
        first chunk with such a log is not stored and raises RefusedImportError.
    dry_run: validate alone.
    again: store what is stored already once more.
    on_chunk: called with the result so far after each chunk.
    """

    on_reject: Callable[[Reject], None] | None = None
    dry_run: bool = False
    again: bool = False
    on_chunk: Callable[[ImportResult], None] = lambda result: None
    result: ImportResult = field(default_factory=ImportResult)

    def run(self, logs: Iterable[LogText]) -> ImportResult:
        """Store all that is not stored yet.

        Raises RefusedImportError, and SourceError where the source can't be read on; what came before stays stored.
        Raises OtherImportError while another import is at work.
        """
        if self.dry_run:
            self._run(logs, None)
            return self.result
        # Two at once would not see what the other one is about to store.
        with only_one("import") as is_alone:
            if not is_alone:
                raise OtherImportError
            self._run(logs, None if self.again else KnownActions())
        return self.result

    def _run(self, logs: Iterable[LogText], known: KnownActions | None) -> None:
        reader = _ChunkReader(logs)
        with _without_garbage_collection(), ThreadPoolExecutor(max_workers=1) as validator:
            for chunk in _one_ahead(_chunks(reader, validator)):
                self._store(chunk, known)
                self.on_chunk(self.result)
        if reader.error is not None:
            raise reader.error

    def _store(self, chunk: _Chunk, known: KnownActions | None) -> None:
        rows, rejects = without_erased(chunk.logs, *chunk.validated.result())
        self._report(rejects)
        new = rows if known is None else known.without_known(rows)
        if new and not self.dry_run:
            try:
                append(new)
            except ErasedBatchError:
                # Somebody was erased in the meantime. Judged anew the chunk has other rejects than those just told of.
                raise SourceError(
                    f"Lines {chunk.logs[0].line} to {chunk.logs[-1].line}: a user of theirs was erased just now;"
                    " nothing of these lines was stored. Run the same command again."
                ) from None
        stored, given = _count_actions(new), _count_actions(rows)
        self.result.logs += len(new)
        self.result.actions += stored
        self.result.known_actions += given - stored

    def _report(self, rejects: Sequence[Reject]) -> None:
        if self.on_reject is None:
            if rejects:
                raise RefusedImportError(rejects)
            return
        self.result.rejected += len(rejects)
        for reject in rejects:
            self.on_reject(reject)


class _Chunk(NamedTuple):
    logs: Sequence[LogText]
    validated: Future[tuple[list[LogRow], list[Reject]]]


class _ChunkReader:
    def __init__(self, logs: Iterable[LogText]) -> None:
        self.error: SourceError | None = None
        self._logs = iter(logs)

    def next_chunk(self) -> list[LogText]:
        """Return the logs of a chunk, none at the end, which may be an error."""
        chunk, size = [], 0
        try:
            for log in self._logs:
                chunk.append(log)
                size += len(log.text)
                if size >= CHUNK_BYTES:
                    break
        except SourceError as error:
            # What came before it may be broken as well.
            self.error = error
            return []
        return chunk


def _chunks(reader: _ChunkReader, validator: Executor) -> Iterator[_Chunk]:
    while logs := reader.next_chunk():
        validated = validator.submit(validate, logs)
        if connection.vendor != "postgresql":
            # SQLite works in this process: each row would wait for the lock of the interpreter.
            wait([validated])
        yield _Chunk(logs, validated)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Turn garbage collection off: what is decoded has no reference cycles, and the search took a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _one_ahead(chunks: Iterable[_Chunk]) -> Iterator[_Chunk]:
    """Yield each chunk once the one after it is being validated: the database stores the one beside that."""
    last = None
    for chunk in chunks:
        if last is not None:
            yield last
        last = chunk
    if last is not None:
        yield last


def _count_actions(rows: Iterable[LogRow]) -> int:
    return sum(len(row["actions"]) for row in rows)
