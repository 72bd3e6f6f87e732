"""How much memory it takes to read bodies that were made to take much: a process that is told their names."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

BODY_BYTES = 4 * 1024 * 1024

_ACTION = b'{"time":"2018-10-18T21:37:28-06:00","type":"VIEW","properties":{"viewedId":"a"}}'
_ACTIONS = b'[{"userId":"u","sessionId":"s","actions":['
_LOG = b'{"userId":"u","sessionId":"s","actions":[' + _ACTION + b"]}"
_PROPERTIES = _ACTION[:-2]
_EMOJI = "\U0001f600".encode()


def filled(head: bytes, unit: bytes, tail: bytes, separator: bytes = b",", size: int = BODY_BYTES) -> bytes:
    """A body of about a size: a head, as many units as there is room for, and a tail."""
    count = (size - len(head) - len(tail)) // (len(unit) + len(separator))
    return head + separator.join([unit] * count) + tail


# By their names; each takes a size in bytes. Names that begin with "lines" are those of NDJSON.
BODIES: dict[str, Callable[[int], bytes]] = {
    "zeros": lambda size: filled(b"[", b"0", b"]", size=size),
    "arrays": lambda size: filled(b"[", b"[]", b"]", size=size),
    "objects": lambda size: filled(b"[", b"{}", b"]", size=size),
    "nested": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "an object": lambda size: filled(b'{"a":[', b"0", b"]}", size=size),
    "a string": lambda size: b'"' + b"a" * size + b'"',
    "a number": lambda size: b"[" + b"1" * size + b"]",
    "one emoji": lambda size: b'[{"userId":"' + b"a" * size + _EMOJI + b'"}]',
    "escapes": lambda size: filled(b'["\\ud800', b"\\n", b'"]', b"", size=size),
    "lone surrogates": lambda size: filled(b'["', b"\\ud800", b'"]', b"", size=size),
    "members of a log": lambda size: filled(b"[{", b'"a":0', b"}]", size=size),
    "junk in a log": lambda size: filled(
        b'[{"userId":"u","sessionId":"s","x":[', b"[]", b'],"actions":[0]}]', size=size
    ),
    "junk in an action": lambda size: filled(_ACTIONS + _ACTION[:-1] + b',"x":[', b"[]", b"]}]}]", size=size),
    "actions of zeros": lambda size: filled(_ACTIONS, b"0", b"]}]", size=size),
    "actions of nothing": lambda size: filled(_ACTIONS, b"{}", b"]}]", size=size),
    "actions without time": lambda size: filled(
        _ACTIONS, b'{"time":"","type":"VIEW","properties":0}', b"]}]", size=size
    ),
    "actions as an object": lambda size: filled(
        b'[{"userId":"u","sessionId":"s","actions":{"a":[', b"0", b"]}}]", size=size
    ),
    "large properties": lambda size: filled(_ACTIONS + _PROPERTIES + b',"x":[', b"0", b"]}}]}]", size=size),
    "blanks in properties": lambda size: filled(_ACTIONS + _PROPERTIES + b',"x":[', b"0", b"]}}]}]", b" , ", size=size),
    "names in properties": lambda size: filled(_ACTIONS + _PROPERTIES + b",", b'"a":0', b"}}]}]", size=size),
    "valid actions": lambda size: filled(_ACTIONS, _ACTION, b"]}]", size=size),
    "valid logs": lambda size: filled(b"[", _LOG, b"]", size=size),
    "valid actions with escapes": lambda size: filled(
        _ACTIONS, _ACTION.replace(b'"a"', b'"\\u00e9"'), b"]}]", size=size
    ),
    "valid actions, then a bad one": lambda size: filled(_ACTIONS, _ACTION, b",0]}]", size=size),
    "valid logs, then a bad one": lambda size: filled(b"[", _LOG, b",0]", size=size),
    "lines of zeros": lambda size: filled(b"", b"0", b"", b"\n", size=size),
    "lines of blanks": lambda size: filled(_LOG.replace(b'"u"', b'"{"'), b"  ", b"", b"\n", size=size),
    "lines of nothing": lambda size: b"\n" * size,
    "lines of valid logs": lambda size: filled(b"", _LOG, b"", b"\n", size=size),
    "lines of valid logs, then a bad one": lambda size: filled(b"", _LOG, b"\n0", b"\n", size=size),
    "lines of one log": lambda size: filled(_ACTIONS[1:], _ACTION, b"]}", size=size),
}


def memory(pid: int | str = "self") -> tuple[int, int]:
    """The bytes that a process takes now, and the most that it took since forget_peak()."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


def forget_peak(pid: int | str = "self") -> None:
    """https://www.kernel.org/doc/html/latest/filesystems/proc.html"""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _main() -> None:
    """Answer each name of one of BODIES with the bytes that it took at the most to read that body; a line each."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "logstore_project.settings")
    import django

    django.setup()
    for line in sys.stdin:
        name = line.strip()
        before = memory()[0]
        body = BODIES[name](BODY_BYTES)
        forget_peak()
        _read(body, name.startswith("lines"))
        print(memory()[1] - before, flush=True)
        del body
        gc.collect()


def _read(body: bytes, is_ndjson: bool) -> None:
    from rest_framework.exceptions import ValidationError

    from logs.api.bodies import Body
    from logs.api.exceptions import answer_exception
    from logs.api.serializers import LogSerializer

    try:
        LogSerializer(data=Body(body, is_ndjson), many=True).is_valid(raise_exception=True)
    except ValidationError as error:
        answer_exception(error)


if __name__ == "__main__":
    _main()
