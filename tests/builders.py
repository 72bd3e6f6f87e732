"""Small makers of the logs and actions that tests post, and of what they look at afterwards."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User

from logs.models import Action, Log
from logs.serializers import LogSerializer

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
