"""The root addresses."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from logs.access.login import throttled_login
from logs.operations.views import MetricsView

urlpatterns = [
    path("", include("logs.urls")),
    path("", include("logs.operations.health")),
    path("metrics", MetricsView.as_view()),
    path("admin/login/", throttled_login),
    path("admin/", admin.site.urls),
]

handler400 = "logs.errors.bad_request"
handler403 = "logs.errors.permission_denied"
handler404 = "logs.errors.not_found"
handler500 = "logs.errors.server_error"
