"""Which paths are for people, and the middleware that only their pages pass.

A program has no session, no form and no page to protect: to look for them takes longer than to store ten actions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, TypeAlias

from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware

# As Django's own middleware has it, which may run without threads, too.
Answer: TypeAlias = HttpResponseBase | Awaitable[HttpResponseBase]

LOGS = "logs"
_JSON, _HTML = "application/json", "text/html"
# The first part of the paths where programs call, and every error has the contract's body.
_PROGRAMS = frozenset({LOGS, "stats", "healthz", "readyz", "metrics", "schema"})


def first_part(request: HttpRequest) -> str:
    """Return a request's path up to its second slash: `logs` of /logs/."""
    return request.path_info.removeprefix("/").partition("/")[0]


def is_for_programs(request: HttpRequest) -> bool:
    """Return whether a request is for a URL that programs call, not for a page."""
    return first_part(request) in _PROGRAMS


def prefers_html(request: HttpRequest) -> bool:
    """Return whether a request is a browser's, which shows a page, and not a program's, which reads JSON."""
    try:
        return request.get_preferred_type([_JSON, _HTML]) == _HTML
    except ValueError:
        # An Accept that can't be read.
        return False


class _ForPages(MiddlewareMixin):
    def __call__(self, request: HttpRequest) -> Answer:
        return self.get_response(request) if is_for_programs(request) else super().__call__(request)


class PageStatic(WhiteNoiseMiddleware):  # type: ignore[misc]  # it has no types
    """Static files."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer: HttpResponseBase = (self.get_response if is_for_programs(request) else super().__call__)(request)
        return answer


class PageSession(_ForPages, SessionMiddleware):
    """The session of whoever is logged in."""


class PageCsrf(_ForPages, CsrfViewMiddleware):
    """Forms that only our own pages may send."""

    def process_view(
        self,
        request: HttpRequest,
        callback: Callable[..., HttpResponseBase],
        callback_args: tuple[Any, ...],
        callback_kwargs: dict[str, Any],
    ) -> HttpResponseForbidden | None:
        if is_for_programs(request):
            return None
        return super().process_view(request, callback, callback_args, callback_kwargs)


class PageUser(_ForPages, AuthenticationMiddleware):
    """Who is logged in."""


class PageMessages(_ForPages, MessageMiddleware):
    """Messages that the next page shows."""


class PagePolicy(CSPMiddleware):
    """What a page may load; an answer to a program has the same policy, made once."""

    def __call__(self, request: HttpRequest) -> Answer:
        if not is_for_programs(request):
            return super().__call__(request)
        response = self.get_response(request)
        if isinstance(response, HttpResponseBase):
            response.headers["Content-Security-Policy"] = self._policy
        return response

    @cached_property
    def _policy(self) -> str:
        return str(build_policy())


class PageCommon(CommonMiddleware):
    """Slashes at the end of a page's path; the Host and the length of any answer."""

    def __call__(self, request: HttpRequest) -> Answer:
        if not is_for_programs(request):
            return super().__call__(request)
        # Raises DisallowedHost.
        request.get_host()
        response = self.get_response(request)
        if isinstance(response, HttpResponse):
            response.headers["Content-Length"] = str(len(response.content))
        return response
