"""What every contestant of the HTTP benchmark must answer before it is measured, and the users whom it then reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

USERS, LOGS_OF_USER, ACTIONS_OF_LOG = 50, 20, 10

# Of a method, a path and a body before it is JSON, if there is one: the status and the answer, decoded.
Call = Callable[[str, str, object], tuple[int, Any]]
Json = dict[str, Any]

CLICK, VIEW, NAVIGATE = (
    {"time": "2018-10-18T21:37:28-06:00", "type": "CLICK", "properties": {"locationX": 52.5, "locationY": 0}},
    {"time": "2018-10-18T21:37:30-06:00", "type": "VIEW", "properties": {"viewedId": "Ünï 😀", "more": {"a": [None]}}},
    {"time": "2018-12-31T23:59:59-06:00", "type": "NAVIGATE", "properties": {"pageFrom": "a", "pageTo": "\\u0000"}},
)
USER = "it's"
BATCH_ACTIONS = 6
# The actions that check and fill store together.
STORED = BATCH_ACTIONS + USERS * LOGS_OF_USER * ACTIONS_OF_LOG


class WrongAnswerError(Exception):
    """An answer that is not what the contract says."""


def check(call: Call, *, with_rules: bool = True) -> None:
    """Store a batch and read it back; with_rules: see also that filters filter and that what is wrong is refused.

    Raises WrongAnswerError.
    """
    batch = [_log([NAVIGATE, CLICK, VIEW]), _log([VIEW], "s0"), _log([CLICK]), _log([CLICK], user="its")]
    _expect(call("POST", "/logs/", batch), (200, {"success": True, "stored": BATCH_ACTIONS, "duplicates": 0}))
    _expect_logs(call, USER, "", [_log([CLICK, CLICK, VIEW, NAVIGATE]), _log([VIEW], "s0")])
    if with_rules:
        start, end = f"&from={CLICK['time']}", f"&to={VIEW['time']}"
        _expect_logs(call, USER, f"{start}{end}&types=CLICK,NAVIGATE", [_log([CLICK, CLICK])])
        _expect_logs(call, USER, f"&from={VIEW['time']}", [_log([VIEW, NAVIGATE]), _log([VIEW], "s0")])
        for body in _refused():
            status, answer = call("POST", "/logs/", body)
            if status != 400:
                raise WrongAnswerError(f"{status} {answer} to {json.dumps(body)[:300]}, which is to be refused")


def fill(call: Call) -> None:
    """Store reader-0, reader-1, … with 200 actions each, all over the same time, and read one of them back.

    Raises WrongAnswerError.
    """
    logs = []
    for session in range(LOGS_OF_USER):
        day = f"2018-10-{session + 1:02}T21:37"
        actions = [{**(CLICK, VIEW, NAVIGATE)[n % 3], "time": f"{day}:{n:02}-06:00"} for n in range(ACTIONS_OF_LOG)]
        batch = [_log(actions, f"s{session}", f"reader-{user}") for user in range(USERS)]
        logs.append(batch[0])
        stored = {"success": True, "stored": USERS * ACTIONS_OF_LOG, "duplicates": 0}
        _expect(call("POST", "/logs/", batch), (200, stored))
    _expect_logs(call, "reader-0", "", logs)


def _log(actions: Sequence[object], session: object = "s1", user: object = USER) -> Json:
    return {"userId": user, "sessionId": session, "actions": actions}


def _with(action: Mapping[str, Any], **properties: object) -> Json:
    return {**action, "properties": {**action["properties"], **properties}}


def _refused() -> list[object]:
    actions = [
        *({**CLICK, "time": text} for text in ("2018-02-30T21:37:28-06:00", "2018-10-18T21:37:28Z", "0000-01-01", 1)),
        {**CLICK, "type": "click"},
        {**CLICK, "properties": {"locationX": 1}},
        *(_with(CLICK, locationY=value) for value in (2**53, -(2**53), "1", True, None)),
        *(_with(VIEW, viewedId=value) for value in (1, "", "v" * 2049, "\0", "\ud800")),
        _with(NAVIGATE, pageTo=None),
        _with(NAVIGATE, other="\0"),
        _with(NAVIGATE, other="o" * 32768),
    ]
    logs = [
        _log([]),
        *(_log([CLICK], user=user) for user in ("u" * 256, 7, "\0", "\ud800")),
        *(_log([CLICK], session=session) for session in ("", None)),
        *(_log([VIEW, action]) for action in actions),
    ]
    return [[], {}, *([log] for log in logs)]


def _expect_logs(call: Call, user: str, filters: str, logs: list[Json]) -> None:
    _expect(call("GET", f"/logs/?userId={quote(user)}{filters}", None), (200, logs))


def _expect(answer: object, expected: object) -> None:
    # As text, because to Python 52 and 52.0 are the same.
    if json.dumps(answer, sort_keys=True, default=str) != json.dumps(expected, sort_keys=True):
        raise WrongAnswerError(f"{answer}, where it should be {expected}")
