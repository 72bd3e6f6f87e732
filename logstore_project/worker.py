"""gunicorn's threaded worker, which waits for a slow client only so long.

gunicorn's own timeout watches over the process; a thread may wait for a client for ever.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import ssl
import struct
import sys
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gunicorn.http.errors import (  # type: ignore[attr-defined]  # the stubs are those of an earlier version
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    ParseException,
)
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import TConn, ThreadWorker

from logstore_project.env import env

if TYPE_CHECKING:
    from typing_extensions import Buffer

# In seconds: for how long a client may neither send nor take a byte, and the start that a request has on MIN_RATE.
CLIENT_TIMEOUT = env.float("LOGSTORE_CLIENT_TIMEOUT", default=30)
# In bytes a second. One that sends a byte now and then never stalls, but keeps a thread.
MIN_RATE = 4096


class PatientSocket(socket.socket):
    """A client's connection that ends when the client stalls, or sends its request more slowly than MIN_RATE."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        # The kernel's own limits, which start again whenever a byte moves and hold for sendfile too: socket(7).
        limit = struct.pack("ll", int(CLIENT_TIMEOUT), int(CLIENT_TIMEOUT % 1 * 1_000_000))
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self.expect_request()

    def expect_request(self) -> None:
        """Start to measure how fast a request comes in."""
        self._deadline = time.monotonic() + CLIENT_TIMEOUT

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what came in. Raises ConnectionResetError when the client is given up."""
        if time.monotonic() > self._deadline:
            raise _given_up()
        try:
            received = super().recv(size, flags)
        except BlockingIOError:
            if self.gettimeout() is not None:
                raise
            raise _given_up() from None
        self._deadline += len(received) / MIN_RATE
        return received

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send all of it. Raises ConnectionResetError when the client is given up."""
        rest = memoryview(data)
        while rest:
            waiting = self._not_yet_taken()
            try:
                rest = rest[self.send(rest, flags) :]
            except BlockingIOError:
                if self.gettimeout() is not None:
                    raise
                # The kernel takes more only when a third of its buffer is free: a slow client needs longer for that.
                if self._not_yet_taken() >= waiting:
                    raise _given_up() from None

    def _not_yet_taken(self) -> int:
        """How many of the bytes sent the client has not acknowledged: tcp(7), SIOCOUTQ."""
        return int.from_bytes(fcntl.ioctl(self, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class Worker(ThreadWorker):
    def handle(self, conn: TConn) -> Any:
        """Serve a request of a connection, in a thread of its own."""
        if isinstance(conn.sock, PatientSocket):
            conn.sock.expect_request()
        elif not conn.initialized:
            # Before TLS, if gunicorn is to speak that, wraps it: the kernel's limits stay.
            conn.sock = PatientSocket(conn.sock)
        return super().handle(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what never became a request, or failed outside of Django, in JSON as everything else.

        gunicorn's own answer is HTML, some of it with a status above 500, and its log line quotes the request.
        """
        # Only here: this module is imported before Django has its settings.
        from logs.api.exceptions import error_response
        from logs.lib.errors import ErrorCode

        is_theirs = isinstance(exc, ParseException | ssl.SSLError)
        if is_theirs and not isinstance(exc, InvalidResponseHeader | InvalidResponseHeaderName):
            self.log.warning("refused what is not HTTP: %s", type(exc).__name__)
            answer = error_response(ErrorCode.INVALID_PARAMETER, "This is not HTTP/1.1, or its headers are too long.")
        else:
            self.log.exception("failed to answer")
            answer = error_response(ErrorCode.INTERNAL_ERROR)
        answer.headers["Content-Length"] = str(len(answer.content))
        answer.headers["Connection"] = "close"
        head = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\r\n".encode()
        with suppress(OSError):
            write_nonblock(client, head + answer.serialize_headers() + b"\r\n\r\n" + answer.content)


def _given_up() -> ConnectionResetError:
    # What gunicorn knows as a client that went away.
    return ConnectionResetError(errno.ECONNRESET, "the client was too slow")
