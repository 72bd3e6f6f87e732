"""The store's middleware: request ids, log lines and metrics; JSON errors; the size of forms; compression."""

from __future__ import annotations

import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.signals import request_finished
from django.db import Error
from django.dispatch import receiver
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.middleware.gzip import GZipMiddleware
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve
from django.utils.cache import patch_vary_headers

from logs import NAME
from logs.api.exceptions import answer_exception, bad_request, error_response
from logs.lib import metrics
from logs.lib.errors import ErrorCode
from logstore_project.logging import NO_REQUEST, request_id
from logstore_project.pages import LOGS, first_part, is_for_programs, prefers_html

METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE")
GetResponse = Callable[[HttpRequest], HttpResponseBase]

_is_harmless = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch

logger = logging.getLogger("logstore.access")


class RequestMiddleware:
    """Gives the request an id, the caller's own X-Request-ID if that is short and harmless, and notes its end."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        request_id.set(given if _is_harmless(given) else f"{random.getrandbits(128):032x}")
        response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id.get()
        if request.method == "HEAD" and isinstance(response, HttpResponse):
            # Django leaves the body to the server, and gunicorn warns of each.
            response.headers.setdefault("Content-Length", str(len(response.content)))
            response.content = b""

        def finish() -> None:
            _note(request, response.status_code, time.perf_counter() - started)

        if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
            response.streaming_content = _Watched(iter(response), finish)
        else:
            finish()
        return response


@receiver(request_finished)
def _forget_the_id(**kwargs: Any) -> None:
    """Clear the request id: what a thread writes between two requests, as gunicorn does, belongs to neither."""
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
    route = _route(request)
    metrics.REQUESTS.labels(method, route, status).inc()
    metrics.REQUEST_SECONDS.labels(method, route).observe(seconds)
    line = {"method": method, "path": route, "status": status, "duration_ms": round(seconds * 1000, 1)}
    logger.info("%s %s %s %s ms", *line.values(), extra=line)


def _route(request: HttpRequest) -> str:
    """Return the route that the path matched, which names its parameters and not what they are."""
    static = f"/{settings.STATIC_URL.strip('/')}/"
    if request.path.startswith(static):
        return static
    try:
        return f"/{(request.resolver_match or resolve(request.path_info)).route}"
    except Resolver404:
        return "unknown"


# A 400 that is not the store's own is Django's, about a Host or a query.
_code_by_status = {code.status: code for code in reversed(ErrorCode)} | {400: ErrorCode.INVALID_PARAMETER}


class ErrorBodyMiddleware:
    """Gives an error without a body, such as Django's own 405, the contract's body for its status.

    In the API also one that has a page instead, as Django makes them with DEBUG on.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code < 400:
            return response
        # The store's own errors are never streamed; those of static files are, and empty.
        is_empty = not isinstance(response, HttpResponse) or not response.content
        is_page = response.headers.get("Content-Type") != "application/json" and is_for_programs(request)
        if not is_empty and not is_page:
            return response
        kept = {name: value for name, value in response.items() if name not in ("Content-Type", "Content-Length")}
        return error_response(_code_by_status.get(response.status_code, ErrorCode.INTERNAL_ERROR), headers=kept)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer what a view of the API raises before Django makes a page of it."""
        return answer_exception(exception) if is_for_programs(request) else None


class ErrorPageMiddleware:
    """Shows a browser an error of our pages as a page, for which it asks neither the database nor who is logged in."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code < 400 or not isinstance(response, JsonResponse) or is_for_programs(request):
            return response
        patch_vary_headers(response, ["Accept"])
        if prefers_html(request):
            context = {
                "name": NAME,
                "title": HTTPStatus(response.status_code).phrase,
                "error": json.loads(response.content),
                "request_id": request_id.get(),
                "is_admin": first_part(request) == "admin",
            }
            response.content = render_to_string("logs/error.html", context)
            response.headers["Content-Type"] = "text/html; charset=utf-8"
            response.headers["Content-Length"] = str(len(response.content))
        return response


class FormSizeMiddleware:
    """Reads a form into memory before anything parses it; one over DATA_UPLOAD_MAX_MEMORY_SIZE is refused.

    Logs have a limit of their own, which their parsers keep.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if first_part(request) != LOGS:
            if "HTTP_TRANSFER_ENCODING" in request.META or not _is_number(request.META.get("CONTENT_LENGTH", "")):
                # Nobody knows it yet: Django counts while it reads.
                request.META["CONTENT_LENGTH"] = ""
            try:
                request.META["CONTENT_LENGTH"] = str(len(request.body))
            except (RequestDataTooBig, UnreadablePostError) as error:
                return bad_request(request, error)
        return self.get_response(request)


def _is_number(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


_refuses_gzip = re.compile(r"\bgzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)", re.IGNORECASE).search


class CompressionMiddleware(GZipMiddleware):
    """Django's own, which also compresses for `gzip;q=0` and puts a body into the answer to a HEAD."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.method == "HEAD" or _refuses_gzip(request.headers.get("Accept-Encoding", "")):
            return response
        return super().process_response(request, response)
