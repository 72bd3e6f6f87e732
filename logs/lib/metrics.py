"""What the store counts for Prometheus; labels have few values, none of them a caller's.

gunicorn's workers count in files of a directory that they share, and any of them adds all up:
https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from logs import __version__

REQUESTS = Counter("logstore_requests", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "logstore_request_seconds", "Time from a request to the end of its answer.", ["method", "route"]
)
ACTIONS_STORED = Counter("logstore_actions_stored", "Actions stored and acknowledged.")
REFUSALS = Counter("logstore_refusals", "Requests answered with an error, by its code.", ["code"])
READS = Counter("logstore_reads", "Reads that a database server answered, where there are replicas.", ["server"])
DATABASE_ERRORS = Counter("logstore_database_errors", "Requests that a database error broke, by its type.", ["type"])
# Not an Info, which several processes can't share.
Gauge("logstore_build_info", "1, for the version that runs.", ["version"], multiprocess_mode="max").labels(
    __version__
).set(1)

# The client library compares a format's version as numbers, and repeats it in the answer.
_names_an_odd_version = re.compile(r"version=(?![0-9]{1,4}(\.[0-9]{1,4}){0,3}\s*([,;]|$))").search


def exposition(accept: str, gauges: Mapping[str, tuple[str, float]]) -> tuple[bytes, str]:
    """Return the metrics of all workers and some gauges of the store, and their media type.

    gauges: what each is, and its value, by its name.
    accept: the request's Accept header; where it names a version that is none, the answer is Prometheus's plain text.
    """
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    encode, media_type = choose_encoder("" if _names_an_odd_version(accept) else accept)
    return encode(_Joined(registry, gauges)), media_type


@dataclass(frozen=True)
class _Joined(Collector):
    registry: CollectorRegistry
    gauges: Mapping[str, tuple[str, float]]

    def collect(self) -> Iterator[Metric]:
        yield from self.registry.collect()
        for name, (text, value) in self.gauges.items():
            yield GaugeMetricFamily(name, text, value)
