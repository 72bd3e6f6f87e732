"""The store as it really runs: gunicorn with several workers over the tests' own database."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

from django.db import connection


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: str


@dataclass
class Server:
    """A running gunicorn: where it listens, and where its standard error goes."""

    port: int
    lines: Path

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request on a connection of its own, so that any worker may get it."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as caller:
            caller.request(method, path, body, dict(headers or {}))
            response = caller.getresponse()
            return Answer(response.status, response.headers, response.read().decode())

    def send(self, text: bytes) -> bytes:
        """Send bytes as they are, HTTP or not, and return what comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as caller:
            caller.sendall(text)
            return caller.recv(65536)

    def log(self) -> str:
        return self.lines.read_text()


@contextlib.contextmanager
def gunicorn(lines: Path, application: str = "logstore_project.wsgi", **environ: str) -> Iterator[Server]:
    """Serve the tests' database on a free port until the block ends. lines: the file for its log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Server(free.getsockname()[1], lines)
    command = [sys.executable, "-m", "gunicorn", "--config", "python:logstore_project.gunicorn_conf"]
    environ = {**os.environ, "DATABASE_URL": _database_url(), "PORT": str(server.port), **environ}
    with lines.open("w") as stderr:
        process = subprocess.Popen([*command, application], env=environ, stderr=stderr)
    try:
        _wait_for(server)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


def fails(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application that is healthy, and fails at everything else."""
    if environ["PATH_INFO"] != "/healthz":
        raise ValueError(environ["QUERY_STRING"])
    start_response("200 OK", [])
    return []


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
