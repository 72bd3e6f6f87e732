"""The one way in for logs and actions: batches that arrive together are written in one transaction together.

A batch is acknowledged once it is durable, and stored whole or not at all. While one group of batches is written, those
that arrive wait for the next: a commit then costs all of them what it costs one. Without load nobody waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from django.db import Error, connection, transaction

from logs.lib import metrics
from logs.lib.database import is_broken_connection
from logs.lib.errors import ErrorCode, LogStoreError
from logs.lib.transactions import limit_transaction, needs_limits, retried
from logs.store import erasures, writing
from logs.store.arrivals import arrivals
from logs.store.rows import ActionRow, LogRow

# A group ends with the batch that makes it this long.
MAX_GROUP_ACTIONS = 5_000


@dataclass(frozen=True)
class Receipt:
    """How many actions a batch stored, and how many it did not because they came before under the same token."""

    stored: int = 0
    duplicates: int = 0


UNKNOWN_OUTCOME = (
    "The database went away while the batch was committed, so that it may be stored or not. "
    "Sent again with the same Idempotency-Key it is stored once."
)


class ErasedBatchError(LogStoreError):
    """A batch names users who are erased; nothing of it was stored.

    places: the indexes of the logs that name one.
    """

    def __init__(self, places: Sequence[int]) -> None:
        self.places = places
        super().__init__(ErrorCode.USER_ERASED)


class Token(Protocol):
    """What makes a batch known that came before: an idempotency key, or a chunk of an import."""

    def remember(self, action_count: int) -> int | None:
        """Remember a new batch within its transaction and return None; otherwise return how many actions it stored."""


def append(batch: Sequence[LogRow], token: Token | None = None) -> Receipt:
    """Store a validated batch in one durable transaction and return how many actions that stored.

    batch: logs in the order received; several may name the same (user_id, session_id).
    token: what the batch is known by; a batch that came before under it is not stored again.
    A deadlock or serialization failure is tried again a few times. Raises ErasedBatchError for a batch that names a
    user who is erased; what the token raises (LogStoreError for an idempotency key that came with another body);
    LogStoreError when the connection broke during the commit, so that nobody knows whether the batch is stored; and
    django.db.Error when the database is away: then nothing is stored.
    """
    pending = _Pending(batch, token)
    try:
        if connection.in_atomic_block:
            # Of the caller's own transaction nothing is durable yet that others wait for.
            _write([pending])
        else:
            _queue.write(pending)
        if pending.error is not None:
            raise pending.error
    except erasures.ErasedUsersError as error:
        places = [place for place, row in enumerate(batch) if row["user_id"] in error.user_ids]
        raise ErasedBatchError(places) from None
    metrics.ACTIONS_STORED.inc(pending.receipt.stored)
    arrivals.tell()
    return pending.receipt


@dataclass(eq=False)
class _Pending:
    """A batch on its way: what became of it, once it is done."""

    batch: Sequence[LogRow]
    token: Token | None
    receipt: Receipt = Receipt()
    error: Exception | None = None
    is_done: bool = False
    # Set when the batch is done, or when its thread is to write the next group.
    wake: threading.Event = field(default_factory=threading.Event)
    count: int = 0

    def __post_init__(self) -> None:
        self.count = sum(len(row["actions"]) for row in self.batch)


class _Queue:
    """The batches that wait; whoever finds no writer at work becomes it and writes all that waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Pending] = deque()
        self._has_writer = False

    def write(self, pending: _Pending) -> None:
        with self._lock:
            self._waiting.append(pending)
            is_writer = not self._has_writer
            self._has_writer = True
        group: list[_Pending] = []
        try:
            if not is_writer:
                pending.wake.wait()
                if pending.is_done:
                    return
                is_writer = True
            self._take_group(group)
            _write_group(group)
        finally:
            self._leave(pending, is_writer)
            for other in group:
                other.is_done = True
                other.wake.set()

    def _take_group(self, group: list[_Pending]) -> None:
        count = 0
        with self._lock:
            while self._waiting and count < MAX_GROUP_ACTIONS:
                group.append(self._waiting.popleft())
                count += group[-1].count

    def _leave(self, pending: _Pending, is_writer: bool) -> None:
        """Hand the turn to write on to the next batch, where it was this one's."""
        with self._lock:
            if pending in self._waiting:
                # Its thread was interrupted while it waited, perhaps just when its turn came.
                self._waiting.remove(pending)
                is_writer |= pending.wake.is_set()
            if is_writer and self._waiting:
                self._waiting[0].wake.set()
            elif is_writer:
                self._has_writer = False


_queue = _Queue()


def _write_group(group: Sequence[_Pending]) -> None:
    """Write batches together; where that fails, each by itself, so that one that can't be written harms nobody."""
    try:
        _write(group)
    except LogStoreError as error:
        # The outcome of the commit is unknown: to write any of them again might store it twice.
        _fail(group, error)
    except erasures.ErasedUsersError as error:
        rest = []
        for pending in group:
            if any(row["user_id"] in error.user_ids for row in pending.batch):
                _fail([pending], erasures.ErasedUsersError(error.user_ids))
            else:
                rest.append(pending)
        # Together as before: whoever sends an erased user again and again slows nobody down.
        if rest:
            _write_group(rest)
    except Exception as error:  # noqa: BLE001
        if len(group) == 1 or (isinstance(error, Error) and is_broken_connection(error)):
            _fail(group, error)
            return
        for pending in group:
            try:
                _write([pending])
            except Exception as own:  # noqa: BLE001
                _fail([pending], own)


def _fail(group: Sequence[_Pending], error: Exception) -> None:
    for pending in group:
        pending.error = error


def _write(group: Sequence[_Pending]) -> None:
    retried(lambda: _write_once(group))


def _write_once(group: Sequence[_Pending]) -> None:
    is_committing = False
    # Until it is known better: an interrupt may end the writer at any place.
    _fail(group, LogStoreError(ErrorCode.STORE_UNAVAILABLE, UNKNOWN_OUTCOME))
    try:
        if writing.fits_one_statement(sum(pending.count for pending in group)) and not _needs_transaction(group):
            is_committing = True
            writing.write_at_once(_merge(group))
        else:
            with transaction.atomic(durable=not connection.in_atomic_block):
                limit_transaction()
                new = [pending for pending in group if _is_new(pending)]
                if new:
                    writing.write(_merge(new))
                is_committing = True
                group = new
    except Error as error:
        if is_committing and is_broken_connection(error):
            raise LogStoreError(ErrorCode.STORE_UNAVAILABLE, UNKNOWN_OUTCOME) from error
        raise
    for pending in group:
        pending.receipt, pending.error = Receipt(stored=pending.count), None


def _needs_transaction(group: Sequence[_Pending]) -> bool:
    return needs_limits() or any(pending.token is not None for pending in group)


def _is_new(pending: _Pending) -> bool:
    """Remember a batch by its token; return False, and set its receipt or error, for one that came before."""
    if pending.token is None:
        return True
    try:
        duplicates = pending.token.remember(pending.count)
        if duplicates is not None:
            # A repeat is answered like any batch of its users.
            erasures.require_none_erased(row["user_id"] for row in pending.batch)
    except (LogStoreError, erasures.ErasedUsersError) as error:
        pending.error = error
        return False
    if duplicates is None:
        return True
    pending.receipt, pending.error = Receipt(duplicates=duplicates), None
    return False


def _merge(group: Sequence[_Pending]) -> writing.ActionsByLog:
    merged: dict[writing.LogKey, list[ActionRow]] = {}
    for pending in group:
        for row in pending.batch:
            merged.setdefault((row["user_id"], row["session_id"]), []).extend(row["actions"])
    return merged
