"""gunicorn's threaded worker, in which a client has a thread only while it is served, and keeps it only so long.

A connection gets a thread once the head of a request is there, and keeps it while the next request follows at once.
"""

from __future__ import annotations

import errno
import fcntl
import re
import select
import socket
import ssl
import sys
import termios
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any, cast

from gunicorn.http.errors import (  # type: ignore[attr-defined]  # the stubs are those of an earlier version
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    ParseException,
)
from gunicorn.http.unreader import SocketUnreader
from gunicorn.util import close, write_nonblock
from gunicorn.workers.gthread import TConn, ThreadWorker

from logstore_project.env import CLIENT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from typing_extensions import Buffer

# In bytes a second, after a start of CLIENT_TIMEOUT. One that sends a byte at times never stalls, but keeps a thread.
MIN_RATE = 4096
# In seconds: for how long a thread waits for the next request of its connection before the main loop does.
STAY = 0.002
# In seconds: for how long a closed connection waits for its client to close it, too, so that the answer is not lost.
LINGER = 2
# In bytes. A head that is longer gets a thread, which refuses it.
LONGEST_HEAD = 65_536

# In bytes: as gunicorn reads.
READ_SIZE = 8192

# A bare line feed ends no head, but is refused by the parser: nothing to wait for.
_end_of_head = re.compile(rb"\n\r?\n").search
# What a thread returns for a connection that is to wait for more.
_HALF_A_HEAD = object()


class PatientSocket(socket.socket):
    """A client's connection that ends when the client stalls, or sends its request more slowly than MIN_RATE.

    To the kernel it never blocks: what blocks, and for how long, is decided here. Each system call lets another thread
    take the interpreter's lock, and gunicorn sets a timeout several times a request.
    """

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        super().setblocking(False)
        self._timeout: float = CLIENT_TIMEOUT
        self._head = b""
        self.expect_request()

    def settimeout(self, value: float | None) -> None:
        """Wait for so many seconds at the most; for None as long as the client may take."""
        self._timeout = CLIENT_TIMEOUT if value is None else value

    def gettimeout(self) -> float:
        """Return for how long it waits, in seconds: sendfile() asks, too."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Wait as long as the client may take, or not at all."""
        self._timeout = CLIENT_TIMEOUT if flag else 0

    def expect_request(self) -> None:
        """Start to measure how fast a request comes in."""
        self.deadline = time.monotonic() + CLIENT_TIMEOUT

    def is_ready(self, event: int, seconds: float) -> bool:
        """Wait for an event of poll(2) for so many seconds at the most, and return whether it came."""
        poll = select.poll()
        poll.register(self, event)
        return bool(poll.poll(max(seconds, 0) * 1000))

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what came in.

        Raises ConnectionResetError when the client is given up, and TimeoutError after a shorter timeout that was set.
        """
        self.flush()
        waits = self._timeout > 0 and not flags & socket.MSG_DONTWAIT
        while True:
            left = self.deadline - time.monotonic()
            if waits and left < 0:
                raise _given_up()
            try:
                received = super().recv(size, flags)
            except BlockingIOError:
                if not waits:
                    raise
                if not self.is_ready(select.POLLIN, min(left, self._timeout)):
                    raise (_given_up() if self._timeout >= CLIENT_TIMEOUT else TimeoutError("timed out")) from None
            else:
                self.deadline += len(received) / MIN_RATE
                return received

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send all of it; the head of an answer goes with what follows it, or with flush().

        Raises ConnectionResetError when the client is given up.
        """
        given = bytes(data)
        if given.startswith(b"HTTP/1.") and given.endswith(b"\r\n\r\n"):
            self._head += given
            return
        rest = memoryview(self._head + given)
        self._head = b""
        while rest:
            try:
                rest = rest[self.send(rest, flags) :]
            except BlockingIOError:
                if not self._timeout:
                    raise
                self._wait_for_the_reader()

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file, or a part of it. Raises ConnectionResetError when the client is given up."""
        self.flush()
        try:
            return super().sendfile(file, offset, count)
        except TimeoutError:
            raise _given_up() from None

    def flush(self) -> None:
        """Send the head of an answer that has no body."""
        if self._head:
            self.sendall(b"")

    def _wait_for_the_reader(self) -> None:
        """Return when there is room. The kernel says so only when a third of its buffer is free: see what is taken."""
        not_taken, deadline = self._not_yet_taken(), time.monotonic() + CLIENT_TIMEOUT
        while not self.is_ready(select.POLLOUT, CLIENT_TIMEOUT / 10):
            if (now_not_taken := self._not_yet_taken()) < not_taken:
                not_taken, deadline = now_not_taken, time.monotonic() + CLIENT_TIMEOUT
            elif time.monotonic() > deadline:
                raise _given_up()

    def _not_yet_taken(self) -> int:
        """How many of the bytes sent the client has not acknowledged: tcp(7), SIOCOUTQ."""
        return int.from_bytes(fcntl.ioctl(self, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class Worker(ThreadWorker):
    """gunicorn's, whose main loop waits for clients, while its threads serve them."""

    _looked_at_pending = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop: whoever waits for something new is answered at once."""
        # Only here: this module is imported before Django has its settings.
        from logs.store.arrivals import arrivals

        arrivals.is_stopping = True
        super().handle_exit(sig, frame)

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection a thread, a new one as soon as something comes."""
        if conn.data_ready:
            super().enqueue_req(conn)
        else:
            # Before TLS, if gunicorn is to speak that, wraps it: the kernel's limits stay.
            client = conn.sock = PatientSocket(conn.sock)
            self._await(conn, client.deadline, self.on_pending_socket_readable)

    def handle(self, conn: TConn) -> Any:
        """Serve a connection's request in a thread, and those that follow at once."""
        if self.cfg.is_ssl:
            return super().handle(conn)
        while self._read_head(conn):
            keeps = super().handle(conn)
            with suppress(OSError):
                cast(PatientSocket, conn.sock).flush()
            if keeps is not True or not self._may_stay(conn):
                return keeps
        return _HALF_A_HEAD

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """Take a connection back from its thread."""
        if fs.cancelled() or fs.exception() or fs.result() is True:
            super().finish_request(conn, fs)
            return
        try:
            if fs.result() is _HALF_A_HEAD and self.alive:
                self._await(conn, conn.sock.deadline, self.on_pending_socket_readable)
            else:
                # gunicorn would wait here, in the main loop, until the client closes its side or LINGER is over.
                conn.sock.shutdown(socket.SHUT_WR)
                self._await(conn, time.monotonic() + LINGER, self._on_rest_of_a_request)
        except OSError:
            self.nr_conns -= 1
            close(conn.sock)

    def murder_pending(self) -> None:
        """Close the connections that waited for too long."""
        # Some may wait for longer than others: all are looked at, but once a second will do.
        now = time.monotonic()
        if now - self._looked_at_pending >= 1 or not self.alive:
            self._looked_at_pending = now
            for conn in [conn for conn in self.pending_conns if (conn.timeout or 0) <= now]:
                self._end(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        # Of gunicorn's own: called once, when the worker stops.
        super()._cap_keepalive(deadline)  # type: ignore[misc]
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout or deadline, deadline)

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

    def _read_head(self, conn: Any) -> bool:
        """Read what came of a request's head, and return whether a thread has something to do.

        That is a whole head, too much of one, or the client's end.
        """
        conn.init()
        client: PatientSocket = conn.sock
        unreader: SocketUnreader = conn.parser.unreader
        came: bytes = unreader.take_buffered()
        if not came:
            client.expect_request()
        try:
            while not _end_of_head(came) and len(came) < LONGEST_HEAD:
                piece = client.recv(READ_SIZE, socket.MSG_DONTWAIT)
                came += piece
                if not piece:
                    break
        except BlockingIOError:
            return False
        except OSError:
            pass
        finally:
            unreader.unread(came)
        return True

    def _may_stay(self, conn: Any) -> bool:
        """Return whether a connection's next request comes within STAY, unless other connections wait for a thread."""
        if not self.alive or not self.tpool._work_queue.empty():
            return False
        client: PatientSocket = conn.sock
        return bool(conn.parser.unreader.buf.getvalue()) or client.is_ready(select.POLLIN, STAY)

    def _await(self, conn: TConn, deadline: float, on_readable: Callable[[TConn, socket.socket], None]) -> None:
        """Let the main loop call on_readable whenever a connection is readable, and close it after the deadline."""
        conn.sock.setblocking(False)
        conn.timeout = deadline
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(on_readable, conn))

    def _on_rest_of_a_request(self, conn: TConn, client: socket.socket) -> None:
        with suppress(OSError):
            if client.recv(LONGEST_HEAD):
                return
        self._end(conn)

    def _end(self, conn: TConn) -> None:
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)
        self.nr_conns -= 1
        close(conn.sock)


def _given_up() -> ConnectionResetError:
    # What gunicorn knows as a client that went away.
    return ConnectionResetError(errno.ECONNRESET, "the client was too slow")
