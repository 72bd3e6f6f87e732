"""How gunicorn serves the store; a flag on its command line wins. https://docs.gunicorn.org/en/stable/settings.html"""

from __future__ import annotations

import sys

from django.core.exceptions import ImproperlyConfigured

from logstore_project.env import env

try:
    # Here a setting that is missing ends the start with its sentence; in a worker, with a page of tracebacks.
    import logstore_project.settings  # noqa: F401
except ImproperlyConfigured as error:
    sys.exit(str(error))

bind = f"127.0.0.1:{env.int('PORT', default=8000)}"
workers = env.int("WEB_CONCURRENCY", default=2)
worker_class = "gthread"
threads = env.int("WEB_THREADS", default=8)
# A query may name a user of 255 characters, each of them twelve bytes long when it is percent-encoded.
limit_request_line = 8190
control_socket_disable = True
