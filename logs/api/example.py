"""The batch that the README posts, for every page and document that shows one."""

from __future__ import annotations

import json
from typing import Any

_ACTIONS: list[dict[str, Any]] = [
    {"time": "2018-10-18T21:37:28-06:00", "type": "CLICK", "properties": {"locationX": 52, "locationY": 11}},
    {"time": "2018-10-18T21:37:30-06:00", "type": "VIEW", "properties": {"viewedId": "FDJKLHSLD"}},
    {
        "time": "2018-10-18T21:37:30-06:00",
        "type": "NAVIGATE",
        "properties": {"pageFrom": "communities", "pageTo": "inventory"},
    },
]


def example_log(user_id: str = "ABC123XYZ") -> dict[str, Any]:
    """Return a log with an action of each type."""
    return {"userId": user_id, "sessionId": "XYZ456ABC", "actions": _ACTIONS}


def example_text(user_id: str) -> str:
    """Return a batch of the log as JSON, an action a line."""
    log = example_log(user_id)
    start = json.dumps({**log, "actions": []}).removesuffix("]}")
    actions = ",\n  ".join(json.dumps(action) for action in log["actions"])
    return f"[{start}\n  {actions}]}}]"
