"""The same store as a tutorial writes it: nested serializers, an object saved at a time, no rules on properties."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework import generics, serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer

from benchmarks.stock.models import StockAction, StockLog


class StockActionSerializer(serializers.ModelSerializer):
    class Meta:
        model = StockAction
        fields = ["time", "type", "properties"]


class StockLogSerializer(serializers.ModelSerializer):
    actions = StockActionSerializer(many=True)

    class Meta:
        model = StockLog
        fields = ["userId", "sessionId", "actions"]

    def create(self, validated_data: dict[str, Any]) -> StockLog:
        actions = validated_data.pop("actions")
        log = StockLog.objects.create(**validated_data)
        for action in actions:
            StockAction.objects.create(log=log, **action)
        return log


class StockLogsView(generics.ListCreateAPIView):
    queryset = StockLog.objects.prefetch_related("actions")
    serializer_class = StockLogSerializer
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = DefaultContentNegotiation

    def get_serializer(self, *args: Any, **kwargs: Any) -> serializers.BaseSerializer:
        return super().get_serializer(*args, many=True, **kwargs)

    @transaction.atomic
    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        serializer.save()
