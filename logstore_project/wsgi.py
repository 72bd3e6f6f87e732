"""The WSGI application that gunicorn serves."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable
from wsgiref.types import InputStream, StartResponse, WSGIEnvironment

from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.db.backends.signals import connection_created
from gunicorn.http.errors import ParseException

from logs.lib.transactions import limit_session

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "logstore_project.settings")


class _Request(WSGIRequest):
    """A request whose Content-Type says nothing about its query, which is UTF-8.

    Django would decode the query by any charset that Python knows, and some of those can't decode a text; a parameter
    that breaks RFC 2231 would end the request without an answer. Parsers read the header for the body by themselves.
    """

    def _set_content_type_params(self, meta: WSGIEnvironment) -> None:
        self.content_type = meta.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        self.content_params = {}


_django = get_wsgi_application()
_django.request_class = _Request
connection_created.connect(limit_session)
# What was loaded stays; a collection of garbage need not look at it again and again.
gc.freeze()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Serve a request; its body may come in chunks.

    Django takes a body without a Content-Length for none; the server ends the input by itself (wsgi.input_terminated).
    """
    if "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
        environ["CONTENT_LENGTH"] = str(sys.maxsize)
        environ["wsgi.input"] = _ChunkedInput(environ["wsgi.input"])
    return _django(environ, start_response)


class _ChunkedInput:
    """A body in chunks, whose malformed ones are an OSError to Django, as every body that breaks off is."""

    def __init__(self, chunks: InputStream) -> None:
        self._chunks = chunks
        # Of WSGI, though nothing here reads by lines.
        self.readline = chunks.readline

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._chunks.read(size)
        except ParseException as error:
            raise OSError("malformed chunks") from error
