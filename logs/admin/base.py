"""What the admin's pages of stored data have in common: nothing is added or changed there."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest

from logs.models import ActionType


class ReadOnlyAdmin(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def require(self, *permissions: str, request: HttpRequest) -> None:
        """Raise PermissionDenied for a user who lacks one of logs.VIEW_LOG and the like."""
        if not request.user.has_perms([f"logs.{name}" for name in permissions]):
            raise PermissionDenied

    def context(self, request: HttpRequest, title: str, **more: Any) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "action_types": ActionType,
            **more,
        }
