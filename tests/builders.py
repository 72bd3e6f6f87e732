"""Small makers of the logs and actions that tests post, and of what they look at afterwards."""

from __future__ import annotations

from typing import Any

from logs.access import keys
from logs.access.models import ApiKey, Scope
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


def stored_actions() -> int:
    return Action.objects.count()


def stored_logs() -> int:
    return Log.objects.count()


def a_key(scope: str = Scope.BOTH, **others: Any) -> tuple[ApiKey, str]:
    """A stored API key and its text."""
    key = ApiKey(name="a tracker", scope=scope, **others)
    return key, keys.issue(key)


def bearer(text: str) -> dict[str, str]:
    """The headers that carry a key."""
    return {"Authorization": f"Bearer {text}"}
