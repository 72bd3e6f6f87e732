"""The store as it really runs: gunicorn over the tests' own database or another, and bare connections to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

from django.conf import settings
from django.db import connection

GUNICORN = [sys.executable, "-m", "gunicorn", "--config", "python:logstore_project.gunicorn_conf"]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Server:
    """A running gunicorn: where it listens, and where its standard error goes."""

    port: int
    lines: Path

    def request(
        self,
        method: str,
        address: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
    ) -> Answer:
        """Send a request on a connection of its own, so that any worker may get it.

        chunked: the body is an iterable of bytes, one chunk each.
        """
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as caller:
            caller.request(method, address, body, dict(headers or {}), encode_chunked=chunked)
            return _read(caller.getresponse())

    def send_bytes(self, data: bytes) -> Answer:
        """Send bytes as they are, HTTP or not, end the connection's sending side, and return what is answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as caller:
            caller.sendall(data)
            caller.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(caller)
            answer.begin()
            return _read(answer)

    def log(self) -> str:
        return self.lines.read_text()


@contextlib.contextmanager
def gunicorn(lines: Path, application: str = "logstore_project.wsgi", **environ: str) -> Iterator[Server]:
    """Serve the tests' database, or another, on a free port until the block ends. lines: the file for its log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Server(free.getsockname()[1], lines)
    environ.setdefault("DATABASE_URL", _database_url())
    with lines.open("w") as stderr:
        process = subprocess.Popen(
            [*GUNICORN, application],
            cwd=settings.BASE_DIR,
            env=environment(PORT=str(server.port), **environ),
            stderr=stderr,
        )
    try:
        _wait_for(server)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


def environment(**changes: str) -> dict[str, str]:
    """The environment of a server that asks nobody for a key, unless changes say otherwise."""
    return {**os.environ, "SECRET_KEY": "for tests", "LOGSTORE_AUTH": "open", **changes}


def fails(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application that is healthy, and fails at everything else."""
    if environ["PATH_INFO"] != "/healthz":
        raise ValueError(environ["QUERY_STRING"])
    start_response("200 OK", [])
    return []


def _read(answer: http.client.HTTPResponse) -> Answer:
    return Answer(answer.status, answer.headers, answer.read())


def _wait_for(server: Server) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            assert server.request("GET", "/healthz").status == 200
            return
        except ConnectionError:
            assert time.monotonic() < until, server.log()
            time.sleep(0.05)


def _database_url() -> str:
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    user, password, host, port = (quote(str(values[name]), safe="") for name in ("USER", "PASSWORD", "HOST", "PORT"))
    return f"postgres://{user}{f':{password}' if password else ''}@{host}{f':{port}' if port else ''}/{values['NAME']}"
