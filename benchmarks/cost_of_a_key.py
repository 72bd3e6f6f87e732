"""What a key and a rate limit cost a short request: `python -m benchmarks.cost_of_a_key`, on a migrated DATABASE_URL.

Prints the time of a GET for a user without logs under each setting, as a ratio to an open store's in the same run.
"""

from __future__ import annotations

import logging
import os
import statistics
import time

import django
from django.test import Client, override_settings

REQUESTS = 300
ROUNDS = 5

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "logstore_project.settings")
django.setup()
logging.disable(logging.INFO)

from logs.access import keys  # noqa: E402  needs the applications
from logs.access.models import ApiKey, Scope  # noqa: E402


def seconds(text: str) -> float:
    client = Client(headers={"Authorization": f"Bearer {text}"})
    started = time.perf_counter()
    for _ in range(REQUESTS):
        if client.get("/logs/?userId=benchmark").status_code != 200:
            raise SystemExit("not answered")
    return (time.perf_counter() - started) / REQUESTS


def main() -> None:
    key = ApiKey(name="benchmark", scope=Scope.READ)
    text = keys.issue(key)
    variants = {
        "open": {"LOGSTORE_AUTH": "open"},
        "key": {"LOGSTORE_AUTH": "keys"},
        "key and rate limit": {"LOGSTORE_AUTH": "keys", "LOGSTORE_RATE_READ": (100_000_000, 86_400)},
    }
    measured: dict[str, list[float]] = {name: [] for name in variants}
    try:
        for _ in range(ROUNDS):
            for name, settings in variants.items():
                with override_settings(**settings):
                    measured[name].append(seconds(text))
    finally:
        key.delete()
    medians = {name: statistics.median(values) for name, values in measured.items()}
    for name, median in medians.items():
        print(f"{name}: {median * 1000:.2f} ms, {median / medians['open']:.2f} times open")


if __name__ == "__main__":
    main()
