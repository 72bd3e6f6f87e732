from __future__ import annotations

from django.urls import path

from logs.views import LogsView

urlpatterns = [
    path("logs/", LogsView.as_view(), name="logs"),
    path("logs", LogsView.as_view()),
]
