"""How gunicorn serves the store; a flag on its command line wins. https://docs.gunicorn.org/en/stable/settings.html"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

try:
    # A start that can't succeed stops here with a sentence, and not in each worker with a stack trace.
    from logstore_project import env
except ImproperlyConfigured as error:
    sys.exit(str(error))

# By itself glibc stops giving memory back once a large body was freed: a process would keep what its largest one took.
# https://man7.org/linux/man-pages/man3/mallopt.3.html
_M_TRIM_THRESHOLD, _KEPT_BYTES = -1, 128 * 1024
with suppress(AttributeError, OSError, TypeError):
    ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)

bind = f"127.0.0.1:{env.PORT}"
# SQLite has one writer, whom a second process only asks again and again whether it is done.
workers = env.WEB_CONCURRENCY or (1 if "sqlite" in env.DATABASE["ENGINE"] else 2)
worker_class = "logstore_project.worker.Worker"
threads = env.WEB_THREADS
# A process whose main loop stands still for so long is replaced; a stop lets running requests end.
timeout = 30
graceful_timeout = 30
# For how long a connection may wait for its next request, which takes no thread.
keepalive = 5
# A query may name a user of 255 characters, each of them twelve bytes long when it is percent-encoded.
limit_request_line = 8190
control_socket_disable = True
logger_class = "logstore_project.gunicorn_log.GunicornLogger"

# Where the workers add up their metrics; what an earlier start counted is not kept in a folder of our own.
_METRICS, _OURS = "PROMETHEUS_MULTIPROC_DIR", "logstore-metrics-"
try:
    os.environ[_METRICS] = env.METRICS_FOLDER or tempfile.mkdtemp(prefix=_OURS)
    Path(os.environ[_METRICS]).mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=os.environ[_METRICS]).close()
except OSError as error:
    sys.exit(f"{_METRICS}: must be a folder that can be written to: {error.strerror or error}.")


def on_starting(server: Arbiter) -> None:
    """Stop with a sentence where another program listens already: gunicorn would try for five seconds."""
    for address in server.cfg.address:
        # Not where a service manager, or the server that this one takes over from, hands the socket on.
        if isinstance(address, tuple) and not {"LISTEN_FDS", "GUNICORN_FD", "GUNICORN_PID"} & os.environ.keys():
            _require_free(*address[:2])


def _require_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            sys.exit(f"Nothing can listen on {host}:{port}: {error.strerror}. Take another port: PORT={port + 1}.")


def when_ready(server: Arbiter) -> None:
    for address in server.cfg.address:
        if isinstance(address, tuple):
            print(f"The store is at http://{address[0]}:{address[1]}/", flush=True)


def post_worker_init(worker: Worker) -> None:
    """Say once why the store will answer 503, where it will."""
    if worker.age == 1 and apps.ready:
        # Only here: it needs the applications.
        from logstore_project.health import why_not_ready

        if reason := why_not_ready():
            worker.log.warning(reason)


def child_exit(server: Arbiter, worker: Worker) -> None:
    # Not before there is a directory: what it imports looks for one.
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Arbiter) -> None:
    if Path(os.environ[_METRICS]).name.startswith(_OURS):
        shutil.rmtree(os.environ[_METRICS], ignore_errors=True)
