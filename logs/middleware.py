"""The contract's error body for errors that were answered without one, by Django or a library."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from logs.errors import ErrorCode, error_response

_code_by_status = {code.status: code for code in reversed(ErrorCode)}


class ErrorBodyMiddleware:
    """Gives an error without a body, such as the 405 of an address that only takes POST, the body of its status."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        # The store's own errors are never streamed; those of static files are, and empty.
        if response.status_code < 400 or (not response.streaming and response.content):
            return response
        kept = {name: value for name, value in response.items() if name not in ("Content-Type", "Content-Length")}
        return error_response(_code_by_status.get(response.status_code, ErrorCode.INTERNAL_ERROR), headers=kept)
