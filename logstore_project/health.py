"""Health checks, which need no key and show no data: is the process up, and can it do its work?"""

from __future__ import annotations

import functools
from collections.abc import Callable

from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import path

from logs.api.exceptions import answer_exception, error_response
from logs.lib.database import NOT_MIGRATED, explain
from logs.lib.errors import ErrorCode
from logs.store import distribution


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that the process is up."""
    return _answer_read(request) or JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether the database can be used and has every migration that this code knows."""
    refusal = _answer_read(request)
    if refusal is not None:
        return refusal
    try:
        missing = _missing_migrations()
        nodes = [] if missing else distribution.nodes()
    except Error as error:
        return answer_exception(error) or error_response(ErrorCode.STORE_UNAVAILABLE)
    if missing:
        return error_response(ErrorCode.STORE_UNAVAILABLE, NOT_MIGRATED)
    # What they hold is answered 503 by itself: to take the store away from its callers would take the rest away, too.
    away = [node.name for node in nodes if node.is_away]
    return JsonResponse({"status": "ok", "workersAway": away} if away else {"status": "ok"})


_VIEWS = {"healthz": healthz, "readyz": readyz}
urlpatterns = [path(name, view, name=name) for name, view in _VIEWS.items()]


class HealthMiddleware:
    """Answers the health checks ahead of those of host and scheme: a load balancer may ask by IP over HTTP."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        view = _VIEWS.get(request.path_info.removeprefix("/"), self.get_response)
        return view(request)


def _answer_read(request: HttpRequest) -> HttpResponse | None:
    if request.method in ("GET", "HEAD"):
        return None
    response = error_response(ErrorCode.METHOD_NOT_ALLOWED)
    response.headers["Allow"] = "GET, HEAD"
    return response


def why_not_ready() -> str:
    """Return a sentence for the operator, empty where the store is ready. The connection is closed again."""
    try:
        return NOT_MIGRATED if _missing_migrations() else ""
    except Error as error:
        return explain(error)
    finally:
        connection.close()


def _missing_migrations() -> frozenset[tuple[str, str]]:
    return _last_migrations() - MigrationRecorder(connection).applied_migrations().keys()


@functools.cache
def _last_migrations() -> frozenset[tuple[str, str]]:
    """Return the last migration of each app; they are read from files, which don't change while the process runs."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())
