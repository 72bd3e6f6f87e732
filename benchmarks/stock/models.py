"""The tables of the stock build."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class StockLog(models.Model):
    userId = models.CharField(max_length=255)
    sessionId = models.CharField(max_length=255)

    objects: ClassVar[models.Manager[StockLog]] = models.Manager()

    class Meta:
        app_label = "stock"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["userId", "sessionId"], name="stock_log_of_session")]

    def __str__(self) -> str:
        return self.userId


class StockAction(models.Model):
    log = models.ForeignKey(StockLog, related_name="actions", on_delete=models.CASCADE)
    time = models.DateTimeField()
    type = models.CharField(max_length=8, choices=[(name, name) for name in ("CLICK", "VIEW", "NAVIGATE")])
    properties = models.JSONField()

    objects: ClassVar[models.Manager[StockAction]] = models.Manager()

    class Meta:
        app_label = "stock"
        ordering = ["time", "id"]

    def __str__(self) -> str:
        return self.type
