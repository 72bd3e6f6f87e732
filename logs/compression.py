"""Gzipped answers for those who accept them."""

from __future__ import annotations

import re

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

_refuses_gzip = re.compile(r"\bgzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)", re.IGNORECASE).search


class CompressionMiddleware(GZipMiddleware):
    """Django's own, which also compresses for `gzip;q=0` and puts a body into the answer to a HEAD."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.method == "HEAD" or _refuses_gzip(request.headers.get("Accept-Encoding", "")):
            return response
        return super().process_response(request, response)
