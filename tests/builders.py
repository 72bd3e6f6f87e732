"""Small makers of the logs and actions that tests post, and of what they look at afterwards."""

from __future__ import annotations

import json
from typing import Any

from logs.models import Action, Log

TIME = "2018-10-18T21:37:28-06:00"


def a_click(time: str = TIME, x: float = 52, y: float = 11, **others: Any) -> dict[str, Any]:
    return {"time": time, "type": "CLICK", "properties": {"locationX": x, "locationY": y, **others}}


def a_view(time: str = TIME, viewed_id: str = "FDJKLHSLD", **others: Any) -> dict[str, Any]:
    return {"time": time, "type": "VIEW", "properties": {"viewedId": viewed_id, **others}}


def a_navigation(
    time: str = TIME, page_from: str = "communities", page_to: str = "inventory", **others: Any
) -> dict[str, Any]:
    return {"time": time, "type": "NAVIGATE", "properties": {"pageFrom": page_from, "pageTo": page_to, **others}}


def a_log(*actions: dict[str, Any], user: str = "ABC123XYZ", session: str = "XYZ456ABC") -> dict[str, Any]:
    """A log of the given actions, of one action of each type where none are given."""
    return {
        "userId": user,
        "sessionId": session,
        "actions": list(actions) or [a_click(), a_view(), a_navigation()],
    }


def as_lines(*logs: Any) -> bytes:
    """Logs as NDJSON, written as compactly as an export."""
    return b"".join(json.dumps(log, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for log in logs)


def many_logs(count: int = 400, actions: int = 20) -> list[dict[str, Any]]:
    """Different logs of 97 users, about 2 kilobytes each, in the order of an export."""
    return [
        a_log(
            *(
                a_view(f"2018-10-{1 + log % 28:02}T{log % 24:02}:{number:02}:00-06:00", f"item-{log}-{number}")
                for number in range(actions)
            ),
            user=f"user-{log % 97}",
            session=f"session-{log}",
        )
        for log in range(count)
    ]


def stored_actions() -> int:
    return Action.objects.count()


def stored_logs() -> int:
    return Log.objects.count()
