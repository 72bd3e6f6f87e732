"""Logs from a file into the store, chunk by chunk, each in its own transaction that also remembers the chunk.

A chunk is known by digests of all that came before it in its import and of all up to its end. So a run that was killed
goes on where it stopped, whether it reads a file, a gzipped one or stdin; a file whose bad line was mended keeps what
was stored before that line; and a file that has grown brings only what is new. A digest of the whole file could do
neither of the last two, and not be known before stdin has ended.
"""

from __future__ import annotations

import gc
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import connection
from django.db.models import Exists
from rest_framework.exceptions import ValidationError

from logs.api.bodies import Undecodable, why_not_json
from logs.api.plain import read_plain
from logs.api.properties import read_other_properties
from logs.api.serializers import LogSerializer
from logs.api.violations import violations
from logs.lib import jsontext
from logs.lib.jsontext import JSONValue
from logs.lib.text import count_of
from logs.models import ImportedChunk, Log
from logs.store.append import ErasedBatchError, append
from logs.store.rows import LogRow
from logs.transfer.mongodb import from_mongodb
from logs.transfer.rejects import Reject, without_erased
from logs.transfer.sources import LogText, SourceError

# A chunk ends with the log that makes it this long, about 16,000 actions. Never make it shorter: a chunk that an
# earlier run stored would be read as two that nobody has seen.
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


@dataclass
class ImportResult:
    """What an import did; the counts of logs are of those in the file, several of which may be one log of the store."""

    logs: int = 0
    actions: int = 0
    known_logs: int = 0
    known_actions: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class ChunkToken:
    """What a chunk is known by: see ImportedChunk."""

    start: str
    end: str
    log_count: int
    rejected_count: int

    def remember(self, action_count: int) -> int | None:
        known, is_new = ImportedChunk.objects.get_or_create(
            end=self.end,
            defaults={
                "start": self.start,
                "log_count": self.log_count,
                "rejected_count": self.rejected_count,
                "action_count": action_count,
            },
        )
        return None if is_new else known.action_count


@dataclass
class Importer:
    """One run over one source of logs.

    on_reject: called with each log that may not be stored, before its chunk is stored without it; where it is None, the
        first chunk with such a log is not stored and raises RefusedImportError.
    dry_run: validate alone.
    name: another name is another import, even of logs that came before.
    on_chunk: called with the result so far after each chunk.
    """

    on_reject: Callable[[Reject], None] | None = None
    dry_run: bool = False
    name: str = ""
    on_chunk: Callable[[ImportResult], None] = lambda result: None
    result: ImportResult = field(default_factory=ImportResult)

    def run(self, logs: Iterable[LogText]) -> ImportResult:
        """Store every log that no earlier run of the same import stored.

        Raises RefusedImportError, and SourceError where the source can't be read on; what came before stays stored.
        """
        if not self.dry_run:
            # Of a store that was emptied nothing is stored any more.
            ImportedChunk.objects.filter(~Exists(Log.objects.all())).delete()
        reader = _ChunkReader(logs)
        with _without_garbage_collection(), ThreadPoolExecutor(max_workers=1) as validator:
            for chunk in _one_ahead(self._chunks(reader, validator)):
                if chunk.known is None:
                    self._store(chunk)
                else:
                    self._skip(chunk, chunk.known)
                self.on_chunk(self.result)
        if reader.error is not None:
            raise reader.error
        return self.result

    def _chunks(self, reader: _ChunkReader, validator: Executor) -> Iterator[_Chunk]:
        chain = hashlib.sha256(self.name.encode())
        while logs := reader.next_chunk():
            start = chain.hexdigest()
            known = None if self.dry_run else _find_known(chain, start, logs)
            if known is not None:
                reader.put_back(logs[known.log_count :])
                logs = logs[: known.log_count]
            _digest(chain, logs)
            validated = None
            if known is None or (known.rejected_count and self.on_reject):
                validated = validator.submit(validate, logs)
                if connection.vendor != "postgresql":
                    # SQLite works in this process: each row would wait for the lock of the interpreter.
                    wait([validated])
            yield _Chunk(logs, start, chain.hexdigest(), known, validated)

    def _store(self, chunk: _Chunk) -> None:
        rows, rejects = without_erased(chunk.logs, *chunk.validation())
        self._report(rejects)
        token = ChunkToken(chunk.start, chunk.end, len(chunk.logs), len(rejects))
        actions = sum(len(row["actions"]) for row in rows)
        try:
            is_stored = self.dry_run or _append(rows, token)
        except ErasedBatchError:
            # Somebody was erased in the meantime. Judged anew the chunk has other rejects than those just told of.
            raise SourceError(
                f"Lines {chunk.logs[0].line} to {chunk.logs[-1].line}: a user of theirs was erased just now; nothing of"
                " these lines was stored. Run the same command again."
            ) from None
        if is_stored:
            self.result.logs += len(rows)
            self.result.actions += actions
        else:
            # Another run has stored the same chunk in the meantime.
            self.result.known_logs += len(rows)
            self.result.known_actions += actions

    def _skip(self, chunk: _Chunk, known: ImportedChunk) -> None:
        if known.rejected_count and self.on_reject is not None:
            _, broken = chunk.validation()
            _, rejects = without_erased(chunk.logs, *chunk.validation())
            # Since then users may have been erased, whose logs are told of, too.
            if not len(broken) <= known.rejected_count <= len(rejects):
                raise SourceError(
                    f"Lines {chunk.logs[0].line} to {chunk.logs[-1].line}: {count_of(known.rejected_count, 'log')} of"
                    f" these lines were rejected when they were imported, now it is {len(rejects)}. Import with the"
                    " settings and the erasures of that time."
                )
            self._report(rejects)
        else:
            self.result.rejected += known.rejected_count
        self.result.known_logs += known.log_count - known.rejected_count
        self.result.known_actions += known.action_count

    def _report(self, rejects: Sequence[Reject]) -> None:
        if self.on_reject is None:
            if rejects:
                raise RefusedImportError(rejects)
            return
        self.result.rejected += len(rejects)
        for reject in rejects:
            self.on_reject(reject)


@dataclass(frozen=True)
class _Chunk:
    logs: Sequence[LogText]
    start: str
    end: str
    known: ImportedChunk | None
    # Where it is done ahead.
    validated: Future[tuple[list[LogRow], list[Reject]]] | None

    def validation(self) -> tuple[list[LogRow], list[Reject]]:
        return validate(self.logs) if self.validated is None else self.validated.result()


class _ChunkReader:
    def __init__(self, logs: Iterable[LogText]) -> None:
        self.error: SourceError | None = None
        self._logs = iter(logs)
        self._waiting: deque[LogText] = deque()

    def next_chunk(self) -> list[LogText]:
        """Return the logs of a chunk, none at the end, which may be an error."""
        chunk, size = [], 0
        try:
            while size < CHUNK_BYTES and (log := self._next_log()) is not None:
                chunk.append(log)
                size += len(log.text)
        except SourceError as error:
            # What came before it is no chunk of the whole file's.
            self.error = error
            return []
        return chunk

    def put_back(self, logs: Sequence[LogText]) -> None:
        self._waiting.extendleft(reversed(logs))

    def _next_log(self) -> LogText | None:
        return self._waiting.popleft() if self._waiting else next(self._logs, None)


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


def _find_known(chain: hashlib._Hash, start: str, logs: Sequence[LogText]) -> ImportedChunk | None:
    for known in ImportedChunk.objects.filter(start=start).order_by("-log_count"):
        ahead = chain.copy()
        _digest(ahead, logs[: known.log_count])
        if ahead.hexdigest() == known.end:
            return known
    return None


def _append(rows: Sequence[LogRow], token: ChunkToken) -> bool:
    if not rows:
        return token.remember(0) is None
    return append(rows, token).stored > 0


def _digest(chain: hashlib._Hash, logs: Iterable[LogText]) -> None:
    for log in logs:
        chain.update(log.text)
        # No JSON text holds this byte, so that no two sequences of logs are alike.
        chain.update(b"\0")
