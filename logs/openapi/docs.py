"""The page that shows the OpenAPI document, with no other host's help and without a script in the page itself."""

from __future__ import annotations

from drf_spectacular.views import SpectacularSwaggerSplitView


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own static files, under a Content-Security-Policy of 'self'."""

    template_name = "logs/docs.html"
