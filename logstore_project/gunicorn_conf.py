"""How gunicorn serves the store; a flag on its command line wins. https://docs.gunicorn.org/en/stable/settings.html"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from logstore_project.env import env

try:
    # A start that can't succeed stops here with one sentence, and not in each worker with a stack trace.
    from logstore_project import settings
except ImproperlyConfigured as error:
    sys.exit(str(error))

# By itself glibc stops giving memory back once a large body was freed: a process would keep what its largest one took.
# https://man7.org/linux/man-pages/man3/mallopt.3.html
_M_TRIM_THRESHOLD, _KEPT_BYTES = -1, 128 * 1024
with suppress(AttributeError, OSError, TypeError):
    ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)

bind = f"127.0.0.1:{env.int('PORT', default=8000)}"
# SQLite has one writer, whom a second process only asks again and again whether it is done.
workers = env.int("WEB_CONCURRENCY", default=1 if "sqlite" in settings.DATABASES["default"]["ENGINE"] else 2)
worker_class = "logstore_project.worker.Worker"
threads = env.int("WEB_THREADS", default=8)
# A process whose main loop stands still for so long is replaced; a stop lets running requests end.
timeout = 30
graceful_timeout = 30
# For how long a connection may wait for its next request, which takes no thread.
keepalive = 5
# A query may name a user of 255 characters, each of them twelve bytes long when it is percent-encoded.
limit_request_line = 8190
control_socket_disable = True
logger_class = "logstore_project.gunicorn_log.GunicornLogger"

# Where the workers add up their metrics; what an earlier start counted is not kept.
_METRICS, _OURS = "PROMETHEUS_MULTIPROC_DIR", "logstore-metrics-"
if not os.environ.get(_METRICS):
    os.environ[_METRICS] = tempfile.mkdtemp(prefix=_OURS)


def when_ready(server: Arbiter) -> None:
    for address in server.cfg.address:
        if isinstance(address, tuple):
            print(f"The admin is at http://{address[0]}:{address[1]}/admin/", flush=True)
    print('Make yourself a user with manage.py createsuperuser (make manage do="createsuperuser").', flush=True)


def child_exit(server: Arbiter, worker: Worker) -> None:
    # Not before there is a directory: what it imports looks for one.
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Arbiter) -> None:
    if Path(os.environ[_METRICS]).name.startswith(_OURS):
        shutil.rmtree(os.environ[_METRICS], ignore_errors=True)
