from __future__ import annotations

from django.urls import include, path

from benchmarks.stock.views import StockLogsView

urlpatterns = [path("", include("logstore_project.urls")), path("stock/", StockLogsView.as_view())]
