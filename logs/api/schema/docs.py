"""The page that shows the OpenAPI document, with no other host's help and without a script in the page itself."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own static files, under a Content-Security-Policy of 'self'."""

    template_name = "logs/docs.html"
    template_name_js = "logs/docs_init.js"

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        """Answer what is allowed, without a body: the usual one has no template."""
        return HttpResponse()
