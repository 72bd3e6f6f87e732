"""The figures for Prometheus, for a key that may read."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from logs.operations import metrics


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
