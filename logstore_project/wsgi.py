"""The WSGI application that gunicorn serves."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable
from wsgiref.types import InputStream, StartResponse, WSGIEnvironment

from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from gunicorn.http.errors import ParseException

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "logstore_project.settings")


class _Request(WSGIRequest):
    """A request whose Content-Type says nothing about its query, which is UTF-8.

    Django would decode the query by any charset that Python knows, and some of those can't decode a text; a parameter
    that breaks RFC 2231 would end the request without an answer. Parsers read the header for the body by themselves.
    """

    def _set_content_type_params(self, meta: WSGIEnvironment) -> None:
        self.content_type = meta.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        self.content_params = {}


class _Body:
    """The body of a request whose broken chunks, like any connection that broke off, are an OSError."""

    def __init__(self, stream: InputStream) -> None:
        self.read = _with_os_errors(stream.read)
        self.readline = _with_os_errors(stream.readline)


def _with_os_errors(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    def read_or_fail(size: int = -1) -> bytes:
        try:
            return read(size)
        except ParseException as error:
            raise OSError("broken chunks") from error

    return read_or_fail


_django = get_wsgi_application()
_django.request_class = _Request
# What was loaded stays; a collection of garbage need not look at it again and again.
gc.freeze()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Serve a request, with its body when that comes in chunks.

    Django takes a body without a Content-Length for none; the server ends the input by itself (wsgi.input_terminated).
    """
    if "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
        environ["CONTENT_LENGTH"] = str(sys.maxsize)
        environ["wsgi.input"] = _Body(environ["wsgi.input"])
    return _django(environ, start_response)
