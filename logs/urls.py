from __future__ import annotations

from django.urls import path
from drf_spectacular.views import SpectacularAPIView

from logs.api.schema.docs import DocsView
from logs.api.views import ChangesView, LogsView

urlpatterns = [
    path("logs/", LogsView.as_view(), name="logs"),
    path("logs", LogsView.as_view()),
    path("logs/changes/", ChangesView.as_view(), name="changes"),
    path("logs/changes", ChangesView.as_view()),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    # With DEBUG on, Django fails at a POST that it would send on to the URL with a slash.
    path("schema", SpectacularAPIView.as_view()),
    path("docs/", DocsView.as_view(), name="docs"),
]
