"""What a caller may do: an API key's scope against the request's method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from logs.access.models import ApiKey, Scope
from logs.lib.errors import ErrorCode, LogStoreError

if TYPE_CHECKING:
    # It imports this module, which the settings name.
    from rest_framework.views import APIView

# A method that is not here does nothing at any URL: a key of any scope gets the 405.
SCOPE_OF_METHOD = {"POST": Scope.INGEST, "GET": Scope.READ, "HEAD": Scope.READ}


class HasScope(BasePermission):
    """Lets a key do what its scope says; in an open store, and for OPTIONS, everybody."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return True. Raises LogStoreError for a request without a key, or with one of another scope."""
        if settings.LOGSTORE_AUTH == "open" or request.method == "OPTIONS":
            return True
        if not isinstance(request.auth, ApiKey):
            raise LogStoreError(ErrorCode.NOT_AUTHENTICATED)
        needed = SCOPE_OF_METHOD.get(request.method or "")
        if needed is not None and not request.auth.allows(needed):
            raise LogStoreError(
                ErrorCode.PERMISSION_DENIED, f"This needs a key of the scope {needed.value} or {Scope.BOTH.value}."
            )
        return True
