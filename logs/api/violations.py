"""DRF's nested errors as the contract's list: each with the JSON pointer to its place, in document order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from rest_framework.exceptions import ErrorDetail
from rest_framework.settings import api_settings

from logs.lib.errors import ErrorCode, Violation, json_pointer

# Lists of errors at a place, or errors by the name or index of a place within.
Detail: TypeAlias = Any


def violations(detail: Detail) -> Iterator[Violation]:
    """Yield the violations of a ValidationError's detail, as LogSerializer raises it for one log or for many.

    detail: `[{}, {"actions": [{"type": [ErrorDetail(…)]}]}]` becomes a violation at /1/actions/0/type. What is wrong
    with the whole has the pointer ""; a batch without logs has no violation, for there is no place to point at.
    """
    for place, error in _leaves(detail, ()):
        code = ErrorCode[str(error.code)]
        if code not in (ErrorCode.NO_LOGS_PROVIDED, ErrorCode.INVALID_JSON) or place:
            yield Violation(code, pointer=json_pointer(place), detail=str(error))


def first_error(detail: Detail) -> ErrorDetail:
    """Return the first error in document order."""
    return next(error for _, error in _leaves(detail, ()))


def count_errors(detail: Detail) -> int:
    """Return how many errors a detail holds."""
    return sum(1 for _ in _leaves(detail, ()))


def _leaves(detail: Detail, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], ErrorDetail]]:
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            # Within properties a member may have any name, DRF's own for "all of it" too.
            is_whole = name == api_settings.NON_FIELD_ERRORS_KEY and "properties" not in place
            yield from _leaves(inner, place if is_whole else (*place, name))
    else:
        for index, inner in enumerate(detail):
            if isinstance(inner, ErrorDetail):
                yield place, inner
            else:
                yield from _leaves(inner, (*place, index))
