"""What the admin's pages of stored data have in common: nothing is added or changed there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.forms import Form
from django.http import Http404, HttpRequest, JsonResponse

from logs.api.exceptions import error_response
from logs.lib.errors import ErrorCode, Violation

if TYPE_CHECKING:
    # Generic in the stubs alone.
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(_ModelAdmin):
    """Shows rows to those who may view them; the deletions that there are have pages of their own."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a row by its id; raise Http404 where the stock page would go to the index and say so there."""
        try:
            row = super().get_object(request, object_id)
        except OverflowError:
            row = None
        if row is None:
            raise Http404
        return row

    def require(self, *permissions: str, request: HttpRequest) -> None:
        """Raise PermissionDenied for a user who lacks one of some permissions of logs, such as view_log."""
        if not request.user.has_perms([f"logs.{name}" for name in permissions]):
            raise PermissionDenied

    def context(self, request: HttpRequest, title: str, **more: Any) -> dict[str, Any]:
        """Return what every page's template is given, and more."""
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            **more,
        }


def staff_name(request: HttpRequest) -> str:
    """Return who asks, for the records of erasures and accesses."""
    return request.user.get_username()


def refuse(form: Form) -> JsonResponse:
    """Answer parameters that a form refused with the contract's error body."""
    violations = [
        Violation(ErrorCode.INVALID_PARAMETER, parameter=name, detail=str(message))
        for name, messages in form.errors.items()
        for message in messages
    ]
    return error_response(ErrorCode.INVALID_PARAMETER, violations[0].detail, violations)
