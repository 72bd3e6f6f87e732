"""How gunicorn serves the store; a flag on its command line wins. https://docs.gunicorn.org/en/stable/settings.html"""

from __future__ import annotations

from logstore_project.env import env

bind = f"127.0.0.1:{env.int('PORT', default=8000)}"
workers = env.int("WEB_CONCURRENCY", default=2)
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
