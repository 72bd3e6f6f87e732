"""Small makers of the logs and actions that tests post, and of what they look at afterwards."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.contrib.auth.models import Permission, User
from django.db import connection

from logs.access import keys
from logs.access.models import ApiKey, Scope
from logs.api.serializers import LogSerializer
from logs.models import Action, Log

TIME = "2018-10-18T21:37:28-06:00"


def a_click(time: str = TIME, x: Any = 52, y: Any = 11, **others: Any) -> dict[str, Any]:
    return {"time": time, "type": "CLICK", "properties": {"locationX": x, "locationY": y, **others}}


def a_view(time: str = TIME, viewed_id: Any = "FDJKLHSLD", **others: Any) -> dict[str, Any]:
    return {"time": time, "type": "VIEW", "properties": {"viewedId": viewed_id, **others}}


def a_navigation(
    time: str = TIME, page_from: Any = "communities", page_to: Any = "inventory", **others: Any
) -> dict[str, Any]:
    return {"time": time, "type": "NAVIGATE", "properties": {"pageFrom": page_from, "pageTo": page_to, **others}}


def a_log(*actions: dict[str, Any], user: Any = "ABC123XYZ", session: Any = "XYZ456ABC") -> dict[str, Any]:
    """A log of the given actions, of one action of each type where none are given."""
    return {
        "userId": user,
        "sessionId": session,
        "actions": list(actions) or [a_click(), a_view(), a_navigation()],
    }


def some_logs(count: int, *actions: dict[str, Any]) -> list[dict[str, Any]]:
    """Logs of users "0", "1" and so on, each of one view where no actions are given."""
    return [a_log(*(actions or [a_view()]), user=str(number)) for number in range(count)]


def gzipped(value: Any) -> bytes:
    return gzip.compress(value if isinstance(value, bytes) else json.dumps(value).encode())


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


def a_key(scope: str = Scope.BOTH, **others: Any) -> tuple[ApiKey, str]:
    """A stored API key and its text."""
    key = ApiKey(name="a tracker", scope=scope, **others)
    return key, keys.issue(key)


def bearer(text: str) -> dict[str, str]:
    """The headers that carry a key."""
    return {"Authorization": f"Bearer {text}"}


def refusal(answer: Any) -> tuple[int, str]:
    """The status and code of an error, which must have the contract's form."""
    body = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert set(body) == {"success", "code", "detail", "errors"}
    assert body["success"] is False
    assert body["detail"]
    if body["errors"]:
        assert body["code"] == body["errors"][0]["code"]
    return answer.status_code, body["code"]


def places(answer: Any) -> list[tuple[str, str]]:
    """The code and place of each violation in an error."""
    return [(error["code"], error.get("pointer", error.get("parameter"))) for error in answer.json()["errors"]]


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run each call in a thread of its own, with its own connection to the database, and return their results."""

    def run(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def store_logs(*logs: dict[str, Any]) -> None:
    """Store logs without HTTP, the way every writer does."""
    serializer = LogSerializer(data=list(logs), many=True)
    serializer.is_valid(raise_exception=True)
    serializer.save()


def a_staff_user(*permissions: str, name: str = "staff", password: str | None = None) -> User:
    """Staff with the given permissions of logs, such as view_log."""
    user = User.objects.create_user(name, password=password, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="logs", codename__in=permissions))
    return user
