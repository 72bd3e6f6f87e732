"""From the wire to a Body: JSON, text and NDJSON, as they are or gzipped, within the size that the store takes."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser

from logs.api.bodies import Body
from logs.lib.errors import ErrorCode, LogStoreError

_READ_BYTES = 64 * 1024
# Gzip makes what it can't compress longer by five bytes in 32 KiB, and has a head and a tail.
_GZIP_OVERHEAD = 1.001
# Each of them costs some microseconds, however little is in it.
_MAX_GZIP_MEMBERS = 10_000
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
# With which no JSON begins: one is a control character, the other no start of a character in UTF-8.
_GZIP_MAGIC = b"\x1f\x8b"


class JSONParser(BaseParser):
    """A JSON array of logs."""

    media_type = "application/json"
    is_ndjson = False

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return a request's Body, None where it has none.

        Raises LogStoreError for a body that is too large or broken off, and UnsupportedMediaType for a content encoding
        other than gzip.
        """
        meta = parser_context["request"].META if parser_context else {}
        content = _read(stream, meta)
        return Body(content, self.is_ndjson) if content else None


class PlainTextParser(JSONParser):
    """JSON that a browser's sendBeacon may send to another origin without asking first."""

    media_type = "text/plain"


class NDJSONParser(JSONParser):
    """One log a line. https://github.com/ndjson/ndjson-spec"""

    media_type = "application/x-ndjson"
    is_ndjson = True


def _read(stream: IO[bytes], meta: Mapping[str, Any]) -> bytes:
    encoding = meta.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise UnsupportedMediaType(encoding)
    is_chunked = "HTTP_TRANSFER_ENCODING" in meta
    announced = None if is_chunked else int(meta.get("CONTENT_LENGTH") or 0)
    limit = settings.LOGSTORE_MAX_BODY_BYTES
    wire_limit = int(limit * _GZIP_OVERHEAD) + _READ_BYTES
    start = b""
    if not encoding:
        # A browser's sendBeacon can't send the header.
        _check_length(announced, wire_limit)
        start = _start(stream)
        encoding = "gzip" if start.startswith(_GZIP_MAGIC) else "identity"
    if "gzip" in encoding:
        pieces = _gunzip(_pieces(start, stream, announced, wire_limit), limit)
    else:
        pieces = _pieces(start, stream, announced, limit)
    body = io.BytesIO()
    for piece in pieces:
        body.write(piece)
    return body.getvalue()


def _start(stream: IO[bytes]) -> bytes:
    """Read the first bytes of a body, of which there are fewer than _GZIP_MAGIC has only where the body ends."""
    start = b""
    while len(start) < len(_GZIP_MAGIC) and (piece := stream.read(_READ_BYTES)):
        start += piece
    return start


def _check_length(announced: int | None, limit: int) -> None:
    if announced is not None and announced > limit:
        raise LogStoreError(ErrorCode.BODY_TOO_LARGE)


def _pieces(start: bytes, stream: IO[bytes], announced: int | None, limit: int) -> Iterator[bytes]:
    """Yield what comes over the wire.

    start: what was read of it already.
    announced: the Content-Length; None for a body in chunks.
    Raises LogStoreError for more than `limit` bytes, and for fewer than were announced: cut after a line of NDJSON or a
    member of gzip, a body would still look whole.
    """
    _check_length(announced, limit)
    count = 0
    piece = start or stream.read(_READ_BYTES)
    while piece:
        count += len(piece)
        if count > limit:
            raise LogStoreError(ErrorCode.BODY_TOO_LARGE)
        yield piece
        piece = stream.read(_READ_BYTES)
    if announced is not None and count < announced:
        raise LogStoreError(ErrorCode.INVALID_JSON, "The body broke off.")


def _gunzip(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Yield what gzip's members hold, one after another. https://www.rfc-editor.org/rfc/rfc1952

    Raises LogStoreError for more than `limit` bytes, and for what is not gzip to its last byte.
    """
    count = members = 0
    member = None
    for piece in pieces:
        while piece:
            if member is None:
                members += 1
                if members > _MAX_GZIP_MEMBERS:
                    raise _broken_gzip()
                member = zlib.decompressobj(_GZIP_WINDOW)
            try:
                content = member.decompress(piece, limit + 1 - count)
            except zlib.error:
                raise _broken_gzip() from None
            count += len(content)
            if count > limit:
                raise LogStoreError(ErrorCode.BODY_TOO_LARGE)
            yield content
            piece = member.unused_data if member.eof else member.unconsumed_tail
            if member.eof:
                member = None
    if member is not None or not members:
        raise _broken_gzip()


def _broken_gzip() -> LogStoreError:
    return LogStoreError(ErrorCode.INVALID_JSON, "The body is a broken gzip stream.")
