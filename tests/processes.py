"""The real server as a process, over the tests' database, and bare connections to it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connection

GUNICORN = [sys.executable, "-m", "gunicorn", "--config", "python:logstore_project.gunicorn_conf"]
START_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    port: int

    def request(
        self, method: str, address: str, body: Any = None, headers: dict[str, str] | None = None, chunked: bool = False
    ) -> Answer:
        """Send a request over a connection of its own; chunked: body is an iterable of bytes, one chunk each."""
        channel = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            channel.request(method, address, body, headers or {}, encode_chunked=chunked)
            return _read(channel.getresponse())
        finally:
            channel.close()

    def send_bytes(self, data: bytes) -> Answer:
        """Send bytes as they are, end the connection's sending side, and return what is answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as channel:
            channel.sendall(data)
            channel.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(channel)
            answer.begin()
            return _read(answer)


def _read(answer: http.client.HTTPResponse) -> Answer:
    return Answer(answer.status, dict(answer.getheaders()), answer.read())


def test_database_url() -> str:
    """The DATABASE_URL of the database that the tests use."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    user = ":".join(quote(database[part], safe="") for part in ("USER", "PASSWORD") if database[part])
    return f"postgres://{user}@{quote(database['HOST'], safe='')}:{database['PORT'] or 5432}/{database['NAME']}"


test_database_url.__test__ = False


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "SECRET_KEY": "for tests", "LOGSTORE_AUTH": "open", **changes}


@contextmanager
def running_server(**changes: str) -> Iterator[Server]:
    """Run gunicorn as `make run` does, with changes to its environment, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*GUNICORN, "logstore_project.wsgi"],
        cwd=settings.BASE_DIR,
        env=environment(PORT=str(port), WEB_CONCURRENCY="1", **changes),
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_listens(process, port)
        yield Server(port)
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(START_SECONDS * 20):
        assert process.poll() is None, "the server did not start"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not listen")
