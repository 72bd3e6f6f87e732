"""Authentication by API key. https://www.rfc-editor.org/rfc/rfc6750"""

from __future__ import annotations

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from logs.access import keys
from logs.access.models import ApiKey, Scope
from logs.lib.errors import ErrorCode, LogStoreError


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`, or `?key=KEY` on a POST with a key that may only ingest; request.auth is the ApiKey.

    In an open store, and on OPTIONS, which browsers send without a key, no key is read.
    """

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        """Return the request's ApiKey, None where it has no key.

        Raises LogStoreError for a key that is not a live one, or that must not come in a URL.
        """
        if settings.LOGSTORE_AUTH == "open" or request.method == "OPTIONS":
            return None
        in_header = _key_in_header(request)
        text = in_header or _key_in_query(request)
        if not text:
            return None
        key = keys.find(text)
        if key is None:
            raise LogStoreError(ErrorCode.INVALID_API_KEY)
        # URLs end up in browser histories and logs.
        if not in_header and key.scope != Scope.INGEST:
            raise LogStoreError(ErrorCode.PERMISSION_DENIED, "Only a key of the scope ingest may come in the URL.")
        keys.note_use(key)
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _key_in_header(request: Request) -> str:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _key_in_query(request: Request) -> str:
    return request.query_params.get("key", "") if request.method == "POST" else ""
