"""The views of the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from django.db import Error
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from logs.api import idempotency
from logs.api.bodies import Body
from logs.api.changes import ChangesQuery, render_changes
from logs.api.parsers import JSONParser, NDJSONParser, PlainTextParser
from logs.api.query import LogQuery
from logs.api.renderers import JSONRenderer, NDJSONRenderer
from logs.api.responses import logs_response, wants_current, without_body
from logs.api.schema.operations import describe_changes, describe_logs
from logs.api.serializers import LogListSerializer, LogSerializer
from logs.lib import metrics, replicas
from logs.store import maintenance
from logs.store.append import Receipt


@describe_logs
class LogsView(APIView):
    """Batches of logs in, logs by user, time and type out."""

    parser_classes = [JSONParser, PlainTextParser, NDJSONParser]
    renderer_classes = [JSONRenderer, NDJSONRenderer]

    def post(self, request: Request) -> HttpResponse:
        body: Body | None = cast(Body, request.data) if request.stream else None
        token = idempotency.token_of(request, body)
        duplicates = None if token is None else idempotency.recall(token)
        if duplicates is not None:
            receipt = Receipt(duplicates=duplicates)
        else:
            serializer = LogListSerializer(child=LogSerializer(), data=body, context={"token": token})
            try:
                serializer.is_valid(raise_exception=True)
                serializer.save()
                receipt = serializer.receipt
            finally:
                # The two refer to each other, and would keep the batch in memory until the next garbage collection.
                serializer.child.parent = None  # type: ignore[assignment]  # as it was before it was bound
        renderer = request.accepted_renderer
        content = renderer.render({"success": True, "stored": receipt.stored, "duplicates": receipt.duplicates})
        return HttpResponse(content, content_type=renderer.media_type)

    def get(self, request: Request) -> HttpResponseBase:
        query = LogQuery(request.META.get("QUERY_STRING", ""))
        renderer = cast(JSONRenderer, request.accepted_renderer)
        return replicas.read(lambda: logs_response(request, query, renderer), wants_current(request))

    def head(self, request: Request) -> HttpResponseBase:
        return without_body(self.get(request))


@describe_changes
class ChangesView(APIView):
    """What was stored since a cursor."""

    renderer_classes = [JSONRenderer, NDJSONRenderer]

    def get(self, request: Request) -> HttpResponseBase:
        query = ChangesQuery(request.META.get("QUERY_STRING", ""))
        renderer = cast(JSONRenderer, request.accepted_renderer)
        body = render_changes(query.page(), renderer.layout)
        return HttpResponse(body, content_type=renderer.media_type, headers={"Cache-Control": "private, no-store"})

    def head(self, request: Request) -> HttpResponseBase:
        return without_body(self.get(request))


class AnyFormat(BaseContentNegotiation):
    """Leaves the choice of a format to the view."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class MetricsView(APIView):
    content_negotiation_class = AnyFormat
    renderer_classes = [JSONRenderer]
    throttle_classes = []
    # Prometheus has a format of its own, which no OpenAPI document describes.
    schema = None

    def get(self, request: Request) -> HttpResponse:
        body, media_type = metrics.exposition(request.headers.get("Accept", ""), _gauges())
        return HttpResponse(body, content_type=media_type)


def _gauges() -> dict[str, tuple[str, float]]:
    """Return what is read from the database; nothing while it is away."""
    try:
        status = maintenance.status()
    except Error:
        return {}
    gauges = {"logstore_maintenance_overdue": ("1 when the nightly work is overdue.", float(status.is_overdue))}
    if status.succeeded is not None:
        gauges["logstore_maintenance_success_timestamp_seconds"] = (
            "When the nightly work was last done, as a Unix time.",
            status.succeeded.timestamp(),
        )
    return gauges
