"""Rate limits of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from logs.access.addresses import client_address
from logs.access.models import Scope
from logs.access.permissions import SCOPE_OF_METHOD
from logs.access.rates import seconds_to_wait

if TYPE_CHECKING:
    # It imports this module, which the settings name.
    from rest_framework.views import APIView


class RateLimit(BaseThrottle):
    """LOGSTORE_RATE_INGEST and LOGSTORE_RATE_READ, for each key; for each IP address where there is none."""

    _seconds = 0

    def allow_request(self, request: Request, view: APIView) -> bool:
        scope = SCOPE_OF_METHOD.get(request.method or "")
        if scope is None:
            return True
        rate = settings.LOGSTORE_RATE_INGEST if scope is Scope.INGEST else settings.LOGSTORE_RATE_READ
        if rate is None:
            return True
        who = f"address:{client_address(request)}" if request.auth is None else f"key:{request.auth.pk}"
        self._seconds = seconds_to_wait(scope.value, who, rate)
        return not self._seconds

    def wait(self) -> int:
        return self._seconds
