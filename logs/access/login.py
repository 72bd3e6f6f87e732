"""The admin's login, which nobody may try too often."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import Throttled

from logs.access.addresses import client_address
from logs.access.rates import Rate, seconds_to_wait
from logs.errors import answer_exception


def throttled_login(request: HttpRequest) -> HttpResponse:
    """The admin's login, with LOGSTORE_RATE_LOGIN attempts for each address.

    Every attempt counts, whatever the user's name: guessing many names is no cheaper, and nobody can lock an admin out
    from another address.
    """
    rate = Rate.parse(settings.LOGSTORE_RATE_LOGIN)
    if request.method == "POST" and rate is not None:
        seconds = seconds_to_wait("login", client_address(request), rate, or_in_process=True)
        if seconds:
            return answer_exception(Throttled(seconds))
    return admin.site.login(request)
