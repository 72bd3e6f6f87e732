"""Logs of a file that may not be stored, and why: here those of users who were erased."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from logs.lib import jsontext
from logs.lib.errors import ErrorCode, Violation, json_pointer
from logs.store.erasures import erased_among
from logs.store.rows import LogRow
from logs.transfer.sources import LogText


@dataclass(frozen=True)
class Reject:
    """A log that may not be stored.

    value: its text, decoded; Undecodable where that is no JSON.
    """

    source: LogText
    value: object
    violations: Sequence[Violation]


def without_erased(
    logs: Sequence[LogText], rows: Sequence[LogRow], rejects: Sequence[Reject]
) -> tuple[Sequence[LogRow], Sequence[Reject]]:
    """Return the rows of users who are not erased, and the rejects with the other rows among them, in the logs' order.

    logs: texts, each of which has either a row or a reject.
    rows, rejects: in the order of the texts.
    """
    erased = erased_among(row["user_id"] for row in rows)
    if not erased:
        return rows, rejects
    broken = {reject.source.index for reject in rejects}
    good = [log for log in logs if log.index not in broken]
    more = [
        Reject(log, _value(log), [Violation(ErrorCode.USER_ERASED, json_pointer([log.index, "userId"]))])
        for log, row in zip(good, rows, strict=True)
        if row["user_id"] in erased
    ]
    return (
        [row for row in rows if row["user_id"] not in erased],
        sorted([*rejects, *more], key=lambda reject: reject.source.index),
    )


def _value(log: LogText) -> object:
    return jsontext.decode(log.text.decode())
