"""Query strings: every parameter checked before any is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from django import forms
from django.utils.datastructures import MultiValueDict

from logs.api.renderers import FORMATS
from logs.lib.errors import ErrorCode, LogStoreError, Violation

T = TypeVar("T")

_REPEATABLE = {"types"}

_is_number = re.compile("[0-9]{1,9}").fullmatch


class Parameters:
    """The parameters of a query string, an empty value being none.

    query_string: as WSGI hands it over, percent-encoded.
    """

    def __init__(self, query_string: str) -> None:
        self._given = _parse(query_string)
        self.data = MultiValueDict({name: [value for value in values if value] for name, values in self._given.items()})
        self._refused: dict[str, Violation] = {}

    def read(self, name: str, parse: Callable[[str], T], code: ErrorCode = ErrorCode.INVALID_PARAMETER) -> T | None:
        """Return what a parameter says, None where it is absent or, for a ValueError, refused with a code."""
        try:
            return parse(value) if (value := self.data.get(name)) and isinstance(value, str) else None
        except ValueError:
            self.refuse(name, code)
            return None

    def refuse(self, name: str, code: ErrorCode, detail: str = "") -> None:
        self._refused[name] = Violation(code, parameter=_shown(name), detail=detail)

    def check(self, form: forms.Form, others: Collection[str]) -> dict[str, Any]:
        """Return a form's values.

        others: the parameters that are none of the form's.
        Raises LogStoreError with one violation a parameter, in the order in which they came.
        """
        self.read("format", _parse_format)
        for name, [error, *_] in form.errors.as_data().items():
            code = ErrorCode.__members__.get(str(error.code))
            # What Django itself says of a value is not for an answer.
            self.refuse(name, code or ErrorCode.INVALID_PARAMETER, str(error.message) if code else "")
        for name, values in self._given.items():
            if name not in form.fields and name not in others and name != "format":
                self.refuse(name, ErrorCode.UNKNOWN_PARAMETER)
            elif len(values) > 1 and name not in _REPEATABLE:
                self.refuse(name, ErrorCode.INVALID_PARAMETER)
        if self._refused:
            raise LogStoreError.from_violations([self._refused[name] for name in self._given if name in self._refused])
        return form.cleaned_data


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers within a range, both ends included; it raises ValueError for any other text."""

    def parse(text: str) -> int:
        if not _is_number(text) or not low <= int(text) <= high:
            raise ValueError("not such a number")
        return int(text)

    return parse


def _parse(query_string: str) -> dict[str, list[str]]:
    # WSGI hands bytes over as Latin-1. Bytes that are not UTF-8 become lone surrogates, which no parameter takes.
    text = query_string.encode("latin-1").decode("utf-8", "surrogateescape")
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, errors="surrogateescape"):
        given.setdefault(name, []).append(value)
    return given


def _parse_format(text: str) -> str:
    if text not in FORMATS:
        raise ValueError("not a format")
    return text


def _shown(name: str) -> str:
    """Return a parameter's name as an answer can hold it: a lone surrogate stands for a byte that is not UTF-8."""
    return name.encode(errors="replace").decode()
