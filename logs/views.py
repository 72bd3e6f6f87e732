"""The addresses of the API."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from logs import idempotency
from logs.conditional import etag_of, is_unchanged
from logs.openapi.operations import describe_logs
from logs.parsers import JSONParser, NDJSONParser, PlainTextParser
from logs.query import LogQuery
from logs.renderers import JSONRenderer, NDJSONRenderer
from logs.serializers import LogSerializer
from logs.store import Receipt
from logs.streaming import LogStream, render_if_short


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
