"""Bytes to Python: JSON, text and NDJSON bodies, as they are or gzipped, within the size that the store takes."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser

from logs.lib import jsontext
from logs.lib.errors import ErrorCode, LogStoreError
from logs.lib.jsontext import JSONValue


@dataclass(frozen=True)
class UndecodableLine:
    """Stands in a batch for a line of NDJSON that is not JSON, so that it is reported in its turn."""

    reason: str


class Lines(list[JSONValue | UndecodableLine]):
    """The values of NDJSON; indexes says for each which line of the body it was, from 0."""

    def __init__(self, numbered: Iterable[tuple[int, JSONValue | UndecodableLine]]) -> None:
        self.indexes: list[int] = []
        for index, value in numbered:
            self.indexes.append(index)
            self.append(value)


class _BodyParser(BaseParser):
    def parse(
        self, stream: BinaryIO, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> JSONValue | Lines:
        """Return what a request's body says; with an Idempotency-Key, request.body_digest is then its SHA-256.

        Raises LogStoreError for a body that is too large, broken off or not in its format, and UnsupportedMediaType for
        a content encoding other than gzip.
        """
        request = parser_context["request"]
        body = _read(stream, request.META)
        if "HTTP_IDEMPOTENCY_KEY" in request.META:
            request.body_digest = hashlib.sha256(body).hexdigest()
        return self.decode(body) if body else None

    def decode(self, body: bytes) -> JSONValue | Lines:
        try:
            return jsontext.decode(body.decode())
        except ValueError as error:
            raise LogStoreError(ErrorCode.INVALID_JSON, _why_not_json(error)) from None


class JSONParser(_BodyParser):
    media_type = "application/json"


class PlainTextParser(_BodyParser):
    """JSON that a browser's sendBeacon may send to another origin without asking first."""

    media_type = "text/plain"


class NDJSONParser(_BodyParser):
    """One log a line. https://github.com/ndjson/ndjson-spec"""

    media_type = "application/x-ndjson"

    def decode(self, body: bytes) -> Lines:
        return decode_lines(enumerate(body.split(b"\n")))


def decode_lines(numbered: Iterable[tuple[int, bytes]]) -> Lines:
    """Return the value of each line with its index; blank lines are skipped, others come as UndecodableLine."""
    return Lines((index, _decode_line(line)) for index, line in numbered if line.strip(b" \t\r\n"))


def _decode_line(line: bytes) -> JSONValue | UndecodableLine:
    try:
        return jsontext.decode(line.decode())
    except ValueError as error:
        return UndecodableLine(_why_not_json(error))


def _why_not_json(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"Not UTF-8 at byte {error.start}."
    return f"Not JSON: {error}."


def _read(stream: BinaryIO, meta: Mapping[str, Any]) -> bytes:
    encoding = meta.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise UnsupportedMediaType(encoding)
    limit = settings.LOGSTORE_MAX_BODY_BYTES
    announced = None if "HTTP_TRANSFER_ENCODING" in meta else int(meta["CONTENT_LENGTH"])
    counted = _CountedStream(stream)
    if "gzip" in encoding:
        body = _gunzip(counted, limit)
    elif announced is not None and announced > limit:
        raise LogStoreError(ErrorCode.BODY_TOO_LARGE)
    else:
        body = counted.read(limit + 1)
    if len(body) > limit:
        raise LogStoreError(ErrorCode.BODY_TOO_LARGE)
    if announced is not None and counted.count < announced:
        # Cut after a line of NDJSON or a member of gzip, it would still look whole.
        raise LogStoreError(ErrorCode.INVALID_JSON, "The body broke off.")
    return body


def _gunzip(stream: _CountedStream, limit: int) -> bytes:
    try:
        return gzip.GzipFile(fileobj=stream).read(limit + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise LogStoreError(ErrorCode.INVALID_JSON, "The body is a broken gzip stream.") from None


class _CountedStream:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int) -> bytes:
        """Return size bytes, fewer only at the end."""
        pieces = []
        while size > 0 and (piece := self._stream.read(size)):
            pieces.append(piece)
            size -= len(piece)
            self.count += len(piece)
        return b"".join(pieces)
