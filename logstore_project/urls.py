"""The root of all URLs."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from logs.api.views import MetricsView

urlpatterns = [
    path("", include("logstore_project.front")),
    path("", include("logs.urls")),
    path("", include("logstore_project.health")),
    path("metrics", MetricsView.as_view()),
    path("admin/", admin.site.urls),
]

handler400 = "logs.api.exceptions.bad_request"
handler403 = "logs.api.exceptions.permission_denied"
handler404 = "logs.api.exceptions.not_found"
handler500 = "logs.api.exceptions.server_error"
