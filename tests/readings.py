"""A batch as it is read field by field, which the faster ways must agree with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from logs.api import bodies, plain, properties, serializers
from logs.api.bodies import Body, Undecodable
from logs.api.serializers import LogSerializer
from logs.api.violations import violations
from logs.lib import jsontext
from logs.lib.limits import MAX_VIOLATIONS


def reading(data: Any) -> Any:
    """The rows of a valid batch; the codes and places of what is wrong with any other."""
    serializer = LogSerializer(data=data, many=True)
    if serializer.is_valid():
        return serializer.validated_data
    errors = serializer.errors
    found = [(violation.code.name, violation.pointer) for violation in violations(errors)]
    return found[:MAX_VIOLATIONS] or errors["non_field_errors"][0].code


def field_by_field(content: bytes, is_ndjson: bool) -> Any:
    """The same of a body that is decoded whole."""
    if not is_ndjson:
        value = _decoded(content)
        return "INVALID_JSON" if isinstance(value, Undecodable) else reading(value)
    lines = {index: _decoded(line) for index, line in enumerate(content.split(b"\n")) if line.strip(jsontext.BLANK)}
    found = reading(list(lines.values()))
    if not lines or not isinstance(found[0], tuple):
        return found
    places = list(lines)
    return [
        (code, re.sub(r"\d+", lambda index: str(places[int(index[0])]), pointer, count=1)) for code, pointer in found
    ]


def assert_readings_agree(content: bytes, is_ndjson: bool) -> Any:
    """Read a body in every way, and return what field_by_field() says of it."""
    expected = field_by_field(content, is_ndjson)
    fast = plain.read_plain(content, is_ndjson, properties.read_other_properties)
    assert fast is None or fast == ([] if expected == "NO_LOGS_PROVIDED" else expected)
    assert reading(Body(content, is_ndjson)) == expected
    return expected


@contextmanager
def as_if_long(longest_properties: int) -> Iterator[None]:
    """Bodies of a few kilobytes are read as those of some hundred: what is long is not decoded whole.

    longest_properties: in bytes; texts of six times as many are long.
    """
    sizes = {"MAX_PROPERTIES_BYTES": longest_properties, "SMALL_BYTES": 6 * longest_properties}
    with ExitStack() as stack:
        for module in (bodies, properties, plain, serializers):
            for name, size in sizes.items():
                if hasattr(module, name):
                    stack.enter_context(patch.object(module, name, size))
        yield


def _decoded(text: bytes) -> Any:
    try:
        return jsontext.decode(text.decode())
    except ValueError as error:
        return Undecodable(str(error))
