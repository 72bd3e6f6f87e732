"""Around every request: its id, its line in the log, its figures."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.signals import request_finished
from django.db import Error
from django.dispatch import receiver
from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.urls import Resolver404, resolve

from logs.api.exceptions import error_response
from logs.lib import metrics
from logs.lib.errors import ErrorCode
from logstore_project.logging import NO_REQUEST, request_id

METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE")

_is_harmless = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch

logger = logging.getLogger("logstore.access")


class RequestMiddleware:
    """Gives the request an id, the caller's own X-Request-ID if that is short and harmless, and notes its end."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        request_id.set(given if _is_harmless(given) else uuid.uuid4().hex)
        response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id.get()

        def finish() -> None:
            _note(request, response.status_code, time.perf_counter() - started)

        if response.streaming and not isinstance(response, FileResponse):
            response.streaming_content = _Watched(response.streaming_content, finish)
        else:
            finish()
        return response


@receiver(request_finished)
def _forget_the_id(**kwargs: Any) -> None:
    """What a thread writes between two requests, such as gunicorn's own lines, belongs to neither."""
    request_id.set(NO_REQUEST)


class _Watched:
    """The chunks of an answer; finish is called when the server is done with it, whether all was read or not."""

    def __init__(self, chunks: Iterator[bytes], finish: Callable[[], None]) -> None:
        self._chunks = chunks
        self.close = finish

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        except Error as error:
            metrics.DATABASE_ERRORS.labels(type(error).__name__).inc()
            raise


def _note(request: HttpRequest, status: int, seconds: float) -> None:
    method = request.method if request.method in METHODS else "other"
    address = _address(request)
    metrics.REQUESTS.labels(method, address, status).inc()
    metrics.REQUEST_SECONDS.labels(method, address).observe(seconds)
    line = {"method": method, "path": address, "status": status, "duration_ms": round(seconds * 1000, 1)}
    logger.info("%s %s %s %s ms", *line.values(), extra=line)


def _address(request: HttpRequest) -> str:
    """Return the path as the route that it matched, which names its parameters and not what they are."""
    static = f"/{settings.STATIC_URL.strip('/')}/"
    if request.path.startswith(static):
        return static
    try:
        return f"/{(request.resolver_match or resolve(request.path_info)).route}"
    except Resolver404:
        return "unknown"


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


_refuses_gzip = re.compile(r"\bgzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)", re.IGNORECASE).search


class CompressionMiddleware(GZipMiddleware):
    """Django's own, which also compresses for `gzip;q=0` and puts a body into the answer to a HEAD."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.method == "HEAD" or _refuses_gzip(request.headers.get("Accept-Encoding", "")):
            return response
        return super().process_response(request, response)
