"""The same store as a tutorial writes it: nested serializers, an object saved at a time, no rules on properties."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from django.db import transaction
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import generics, serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from benchmarks.stock.models import StockAction, StockLog

WIRE_ZONE = timezone(timedelta(hours=-6))


class StockActionSerializer(serializers.ModelSerializer[StockAction]):
    time = serializers.DateTimeField(default_timezone=WIRE_ZONE)

    class Meta:
        model = StockAction
        fields = ["time", "type", "properties"]


class StockLogSerializer(serializers.ModelSerializer[StockLog]):
    actions = StockActionSerializer(many=True)

    class Meta:
        model = StockLog
        fields = ["userId", "sessionId", "actions"]
        # A session that is there already gets more actions.
        validators: list[object] = []

    def create(self, validated_data: dict[str, Any]) -> StockLog:
        actions = validated_data.pop("actions")
        log, _ = StockLog.objects.get_or_create(**validated_data)
        for action in actions:
            StockAction.objects.create(log=log, **action)
        return log


class StockLogsView(generics.ListCreateAPIView[StockLog]):
    queryset = StockLog.objects.prefetch_related("actions")
    serializer_class = StockLogSerializer
    filter_backends = [DjangoFilterBackend]
    filterset_fields = ["userId"]
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = DefaultContentNegotiation

    @transaction.atomic
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data, many=True)
        serializer.is_valid(raise_exception=True)
        serializer.save()
        stored = sum(len(log["actions"]) for log in serializer.initial_data)
        return Response({"success": True, "stored": stored, "duplicates": 0})
