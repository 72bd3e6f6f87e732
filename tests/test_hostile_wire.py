"""Bytes that are no request, sent to the server itself: refused in JSON, never with a 5xx, and nothing is stored."""

from __future__ import annotations

import http.client
import json
import random
import socket

import pytest

from logs.lib.errors import ErrorCode
from tests.builders import a_log, stored_logs
from tests.server import Server

BODY = json.dumps([a_log()]).encode()
VALID = (
    b"POST /logs/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(BODY)
)
VALID += BODY


def chunked(framing: bytes) -> bytes:
    return b"POST /logs/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + framing


REFUSED = {
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no method": b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "line too long": b"GET /logs/?userId=" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "header too long": b"GET /logs/ HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n",
    "too many headers": b"GET /logs/ HTTP/1.1\r\nHost: localhost\r\n" + b"X-Many: 1\r\n" * 500 + b"\r\n",
    "header without a colon": b"GET /logs/ HTTP/1.1\r\nHost localhost\r\n\r\n",
    "nul in a header": b"GET /logs/ HTTP/1.1\r\nHost: localhost\r\nX-Nul: a\0b\r\n\r\n",
    "two lengths": VALID.replace(b"Content-Length", b"Content-Length: 1\r\nContent-Length"),
    "negative length": b"POST /logs/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    "length and chunks": VALID.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "unknown transfer coding": VALID.replace(b"Content-Length", b"Transfer-Encoding: strange\r\nX-Length"),
    "unknown expectation": VALID.replace(b"Content-Length", b"Expect: miracles\r\nContent-Length"),
    "no chunk": chunked(b"this is no chunk\r\n"),
    "negative chunk": chunked(b"-5\r\n[]\r\n0\r\n\r\n"),
    "chunk of another length": chunked(b"2\r\n[][]\r\n0\r\n\r\n"),
    "chunk cut off": chunked(b"%X\r\n" % len(BODY) + BODY),
    "body cut off": VALID[:-5],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory, django_db_setup, django_db_blocker):
    log = tmp_path_factory.mktemp("server") / "log"
    with django_db_blocker.unblock(), Server(log, WEB_CONCURRENCY=1, LOGSTORE_CLIENT_TIMEOUT=2) as server:
        yield server


@pytest.fixture
def server(running, transactional_db):
    return running


def test_what_is_no_request_is_refused_in_json_and_stores_nothing(server):
    for name, sent in REFUSED.items():
        status, answer = exchange(server, sent)
        assert status is not None, name
        assert 400 <= status < 500, name
        assert ErrorCode[answer["code"]].status == status, name
        assert stored_logs() == 0, name
    assert "Internal Server Error" not in server.log
    assert "xxxx" not in server.log


def test_no_mutation_of_a_request_gets_a_5xx(server):
    choose = random.Random(1)
    for _ in range(300):
        sent = bytearray(VALID)
        for _ in range(choose.randint(1, 3)):
            place = choose.randrange(len(VALID) - len(BODY))
            sent[place : place + choose.randint(0, 2)] = choose.choice(
                [b"", b"\0", b"\r\n", b":", b" ", b"\xff", b"\t", b"%00", b"/../", bytes([choose.randrange(256)])]
            )
        status, answer = exchange(server, bytes(sent))
        assert status is None or status < 500, bytes(sent)
        assert status is None or status == 200 or answer["code"] in ErrorCode.__members__
    assert server.request("GET", "/logs/?limit=1").status == 200
    assert "Internal Server Error" not in server.log


def exchange(server, sent):
    """Send bytes and nothing more; return the status and JSON of the answer, (None, None) where none came."""
    with server.connect() as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(client)
            answer.begin()
            return answer.status, json.loads(answer.read() or "null")
        except (OSError, http.client.HTTPException):
            return None, None
