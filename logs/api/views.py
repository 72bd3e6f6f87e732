"""The addresses of the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from logs.api import idempotency
from logs.api.parsers import JSONParser, NDJSONParser, PlainTextParser
from logs.api.query import LogQuery
from logs.api.renderers import JSONRenderer, NDJSONRenderer
from logs.api.responses import logs_response, without_body
from logs.api.schema.operations import describe_logs
from logs.api.serializers import LogSerializer
from logs.lib import metrics
from logs.store.append import Receipt


@describe_logs
class LogsView(APIView):
    """Batches of logs in, logs by user, time and type out."""

    parser_classes = [JSONParser, PlainTextParser, NDJSONParser]
    renderer_classes = [JSONRenderer, NDJSONRenderer]

    def post(self, request: Request) -> Response:
        body = request.data if request.stream else None
        token = idempotency.token_of(request, body)
        duplicates = token and idempotency.recall(token)
        if duplicates is not None:
            receipt = Receipt(duplicates=duplicates)
        else:
            serializer = LogSerializer(data=body, many=True, context={"token": token})
            try:
                serializer.is_valid(raise_exception=True)
                serializer.save()
                receipt = serializer.receipt
            finally:
                # The two refer to each other, and so would keep a batch until Python looks for such circles.
                serializer.child.parent = None
        return Response({"success": True, **asdict(receipt)})

    def get(self, request: Request) -> HttpResponseBase:
        query = LogQuery(request.META.get("QUERY_STRING", ""))
        return logs_response(request, query, request.accepted_renderer)

    def head(self, request: Request) -> HttpResponseBase:
        return without_body(self.get(request))


class AnyFormat(BaseContentNegotiation):
    """Leaves the choice of a format to the view."""

    def select_renderer(
        self, request: Request, renderers: Sequence[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class MetricsView(APIView):
    content_negotiation_class = AnyFormat
    renderer_classes = [JSONRenderer]
    throttle_classes = []
    # Prometheus has a format of its own, which no OpenAPI document describes.
    schema = None

    def get(self, request: Request) -> HttpResponse:
        body, media_type = metrics.exposition(request.headers.get("Accept", ""))
        return HttpResponse(body, content_type=media_type)
