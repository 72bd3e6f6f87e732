"""Store what a user did just now, and read it back page by page, with requests.

    pip install requests
    python examples/with_requests.py

LOGSTORE_URL: where the store is. LOGSTORE_KEY: an API key, where the store asks for one.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import requests

URL = os.environ.get("LOGSTORE_URL", "http://127.0.0.1:8000") + "/logs/"
WIRE_ZONE = timezone(timedelta(hours=-6))

session = requests.Session()
if os.environ.get("LOGSTORE_KEY"):
    session.headers["Authorization"] = f"Bearer {os.environ['LOGSTORE_KEY']}"


def wire_time(moment: datetime) -> str:
    """Write a time as the store takes it.

    >>> wire_time(datetime(2018, 10, 19, 3, 37, 28, tzinfo=UTC))
    '2018-10-18T21:37:28-06:00'
    """
    return moment.astimezone(WIRE_ZONE).isoformat(timespec="seconds")


def store(logs: list[dict[str, Any]], attempts: int = 5) -> dict[str, Any]:
    """Store a batch once, however often it has to be sent."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    for attempts_left in reversed(range(attempts)):
        try:
            answer = session.post(URL, json=logs, headers=headers, timeout=60)
        except requests.ConnectionError:
            # It may have arrived: with the same key it can be sent again and is stored once.
            if not attempts_left:
                raise
            time.sleep(1)
            continue
        if answer.status_code not in (429, 503) or not attempts_left:
            break
        time.sleep(int(answer.headers["Retry-After"]))
    if not answer.ok:
        # What is wrong, and where: {"code": …, "pointer": "/0/actions/1/time", …}
        raise ValueError(answer.text)
    return answer.json()


def read(**parameters: Any) -> Iterator[dict[str, Any]]:
    """Yield the logs that a query finds, reading a page at a time."""
    answer = session.get(URL, params={"limit": 1000, **parameters}, timeout=60)
    while True:
        answer.raise_for_status()
        yield from answer.json()
        if "next" not in answer.links:
            return
        answer = session.get(answer.links["next"]["url"], timeout=60)


if __name__ == "__main__":
    user = f"requests-{uuid.uuid4()}"
    now = wire_time(datetime.now(UTC))
    actions = [
        {"time": now, "type": "CLICK", "properties": {"locationX": 52, "locationY": 11}},
        {"time": now, "type": "NAVIGATE", "properties": {"pageFrom": "communities", "pageTo": "inventory"}},
    ]
    print(json.dumps(store([{"userId": user, "sessionId": number, "actions": actions} for number in ("1", "2", "3")])))
    for log in read(userId=user, types="NAVIGATE", limit=2):
        print(json.dumps(log))
