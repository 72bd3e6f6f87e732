from __future__ import annotations

from django.urls import path

from benchmarks.stock.views import StockLogsView

urlpatterns = [path("logs/", StockLogsView.as_view())]
