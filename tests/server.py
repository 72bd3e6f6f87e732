"""The store as it is served: processes of its own on a free port, and what they answer over real connections."""

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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

from django.db import connection

from tests.cluster import free_port

PROJECT = Path(__file__).resolve().parent.parent
APPLICATION = "logstore_project.wsgi"


def start_command(application: str = APPLICATION, *flags: str) -> list[str]:
    """Return the command that serves a WSGI application as `make run` serves the store's."""
    return [sys.executable, "-m", "gunicorn", "--config", "python:logstore_project.gunicorn_conf", *flags, application]


def environment(**settings: object) -> dict[str, str]:
    """Return the environment of a server that requires no key, unless the settings say otherwise."""
    given = {"SECRET_KEY": "of-a-server-under-test", "LOGSTORE_AUTH": "open", **settings}
    return os.environ | {name: str(value) for name, value in given.items()}


def database_url(name: str = "") -> str:
    """Return the URL of the tests' own database, or of another one of its server."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    user, password, host, port = (quote(str(values[key]), safe="") for key in ("USER", "PASSWORD", "HOST", "PORT"))
    return f"postgres://{user}:{password}@{host}:{port or 5432}/{name or values['NAME']}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def refusal(self) -> tuple[int, str]:
        """The status and code of an error."""
        return self.status, self.json()["code"]

    def json(self) -> Any:
        return json.loads(self.content)


class Server:
    """The store, with the project's own configuration, over the tests' own database or another.

    log: the file for its log lines.
    settings: environment variables beside those that every server under test has.
    Within a `with` block it runs; otherwise start(), stop() and kill() say when.
    """

    def __init__(self, log: Path, application: str = APPLICATION, **settings: object) -> None:
        self.port = free_port()
        self._log = log
        self._command = start_command(application)
        if "DATABASE_URL" not in settings:
            settings["DATABASE_URL"] = database_url()
        self._environment = environment(PORT=self.port, **{"WEB_THREADS": 4, **settings})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def manage(self, *command: str) -> None:
        """Run a command of manage.py with the server's settings."""
        subprocess.run([sys.executable, "manage.py", *command], cwd=PROJECT, env=self._environment, check=True)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=PROJECT,
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, seconds=20)

    def stop(self) -> None:
        """End the server as an operator does; at once, where it does not end within some seconds."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
            self.kill()

    def kill(self) -> None:
        """End the server and its workers at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id of gunicorn's master. Raises RuntimeError while it does not run."""
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
        timeout: float = 30,
    ) -> Answer:
        """Send a request on a connection of its own, so that any worker may get it.

        url: the path and the query.
        body: bytes, text, or an iterable of bytes; chunked makes each of those a chunk.
        timeout: in seconds.
        Raises OSError or HTTPException where no answer comes.
        """
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as caller:
            caller.request(method, url, body, dict(headers or {}), encode_chunked=chunked)
            return _read(caller.getresponse())

    def post(self, batch: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """POST a batch of logs as JSON."""
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self.request("POST", "/logs/", json.dumps(batch), headers)

    def logs(self, query: str = "") -> Any:
        """Return the logs that a query finds."""
        return self.request("GET", f"/logs/{query}").json()

    def send_bytes(self, data: bytes) -> Answer:
        """Send bytes as they are, HTTP or not, end the connection's sending side, and return what is answered."""
        with self.connect() as caller:
            caller.sendall(data)
            caller.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(caller)
            answer.begin()
            return _read(answer)

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """Return a bare connection; with a small buffer the server soon feels that nobody reads."""
        caller = socket.socket()
        if receive_buffer:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        caller.settimeout(30)
        caller.connect(("127.0.0.1", self.port))
        return caller

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(self.log[-2000:])
        try:
            return self.request("GET", "/healthz").status == 200
        except OSError:
            return False


def fails(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application that is healthy, and fails at everything else."""
    if environ["PATH_INFO"] != "/healthz":
        raise ValueError(environ["QUERY_STRING"])
    start_response("200 OK", [])
    return []


def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as a condition holds. Raises AssertionError when it does not come to hold in time."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.02)


def _read(answer: http.client.HTTPResponse) -> Answer:
    return Answer(answer.status, answer.headers, answer.read())
