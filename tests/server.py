"""The store as it is served, by gunicorn in processes of its own, and clients that load it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.builders import a_click, a_log, a_view
from tests.cluster import free_port

PROJECT = Path(__file__).resolve().parent.parent
ACTIONS_IN_A_BATCH = 20


class Server:
    """gunicorn with the project's own configuration.

    settings: environment variables beside those that every server under test has.
    """

    def __init__(self, log: Path, **settings: object) -> None:
        self.port = free_port()
        self._log = log
        given = {
            "SECRET_KEY": "of-a-server-under-test",
            "LOGSTORE_AUTH": "open",
            "PORT": self.port,
            "WEB_CONCURRENCY": 2,
            "WEB_THREADS": 4,
            **settings,
        }
        self._environment = os.environ | {name: str(value) for name, value in given.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def manage(self, *command: str) -> None:
        subprocess.run([sys.executable, "manage.py", *command], cwd=PROJECT, env=self._environment, check=True)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--config", "python:logstore_project.gunicorn_conf"),
                    "logstore_project.wsgi",
                ],
                cwd=PROJECT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, seconds=20)

    def kill(self) -> None:
        """End the server and its workers at once."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def request(
        self, method: str, path: str, body: Any = None, timeout: float = 30, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Return the status, headers and decoded JSON of an answer. Raises OSError or HTTPException without one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            text = body if body is None or isinstance(body, bytes) else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), json.loads(answer.read() or "null")
        finally:
            connection.close()

    def post(self, batch: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
        return self.request("POST", "/logs/", batch, **headers)

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """A bare connection; with a small buffer the server soon feels that nobody reads."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", self.port))
        return connection

    @property
    def pid(self) -> int:
        """The process id of gunicorn's master."""
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(self.log[-2000:])
        try:
            return self.request("GET", "/nothing-here")[0] == 404
        except OSError:
            return False


class Load:
    """Clients that post batches until they are told to stop, and remember what became of each.

    Each batch is one log of a user of its own and one of a user whom all share. A client repeats a batch that was not
    acknowledged only where it has keys, always under the same key.
    """

    def __init__(self, server: Server, clients: int = 4, with_keys: bool = False, prefix: str = "") -> None:
        self._server = server
        self._with_keys = with_keys
        self._prefix = prefix
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(client,)) for client in range(clients)]
        self.sent: set[str] = set()
        self.acknowledged: set[str] = set()
        self.statuses: list[int | None] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, client: int) -> None:
        number = 0
        while not self._is_over.is_set():
            name = f"{self._prefix}{client}-{number}"
            self.sent.add(name)
            is_stored = self._post(name)
            while not is_stored and not self._is_over.wait(0.05) and self._with_keys:
                is_stored = self._post(name)
            if is_stored:
                self.acknowledged.add(name)
            number += 1

    def _post(self, name: str) -> bool:
        half = ACTIONS_IN_A_BATCH // 2
        batch = [
            a_log(*[a_click(batch=name)] * half, user=name, session="own"),
            a_log(*[a_view(batch=name)] * half, user="everybody", session="shared"),
        ]
        headers = {"Idempotency-Key": name} if self._with_keys else {}
        try:
            status = self._server.post(batch, **headers)[0]
        except (OSError, http.client.HTTPException):
            status = None
        self.statuses.append(status)
        return status == 200


def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as a condition holds. Raises AssertionError when it does not come to hold in time."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.02)
