"""The addresses of the API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from django.http import HttpResponse, HttpResponseNotModified, StreamingHttpResponse
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
from logs.api.responses import LogStream, etag_of, is_unchanged, render_if_short
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
        logs = request.data if request.stream else None
        token = idempotency.token_of(request)
        duplicates = token and idempotency.recall(token)
        if duplicates is not None:
            receipt = Receipt(duplicates=duplicates)
        else:
            serializer = LogSerializer(data=logs, many=True, context={"idempotency_token": token})
            serializer.is_valid(raise_exception=True)
            receipt = serializer.save()
        return Response({"success": True, **asdict(receipt)})

    def get(self, request: Request) -> HttpResponseBase:
        query = LogQuery(request.META.get("QUERY_STRING", ""))
        layout, media_type = request.accepted_renderer.layout, request.accepted_media_type
        headers = {"Cache-Control": "private, no-cache"}
        if query.user_id is not None:
            body = render_if_short(query, layout)
            headers["ETag"] = etag_of(query, media_type, body)
            if is_unchanged(request, headers["ETag"]):
                return HttpResponseNotModified(headers=headers)
            if body is not None:
                return HttpResponse(body, content_type=media_type, headers=headers)
        stream = LogStream(query, layout)
        if stream.page.next_cursor is not None:
            headers["Link"] = f'<{_with_parameter(request, "cursor", stream.page.next_cursor.encode())}>; rel="next"'
        return StreamingHttpResponse(stream, content_type=media_type, headers=headers)

    def head(self, request: Request) -> HttpResponseBase:
        response = self.get(request)
        if not response.streaming:
            return StreamingHttpResponse((), status=response.status_code, headers=response.headers)
        # The snapshot is closed with the response, which alone may say that the request has ended.
        response.streaming_content = ()
        return response


def _with_parameter(request: Request, name: str, value: str) -> str:
    parameters = request.query_params.copy()
    parameters[name] = value
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")


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
        body, media_type = metrics.exposition(request.headers.get("Accept", ""))
        return HttpResponse(body, content_type=media_type)
