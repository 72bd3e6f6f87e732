"""What the store counts for Prometheus; labels have few values, none of them a caller's.

gunicorn's workers count in files of a directory that they share, and any of them adds all up:
https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

REQUESTS = Counter("logstore_requests", "Requests answered.", ["method", "address", "status"])
REQUEST_SECONDS = Histogram(
    "logstore_request_seconds", "Time from a request to the end of its answer.", ["method", "address"]
)
ACTIONS_STORED = Counter("logstore_actions_stored", "Actions stored and acknowledged.")
REFUSALS = Counter("logstore_refusals", "Requests answered with an error, by its code.", ["code"])
DATABASE_ERRORS = Counter("logstore_database_errors", "Requests that a database error broke, by its type.", ["type"])


def exposition(accept: str) -> tuple[bytes, str]:
    """Return the figures of all workers and their media type. accept: the request's Accept header."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type
