"""Read actions into a pandas frame, one a row.

    pip install pandas requests
    python examples/with_pandas.py 2018-10-01 2018-10-31

The arguments are the first day and the last one, of the zone -06:00.
LOGSTORE_URL: where the store is. LOGSTORE_KEY: an API key, where the store asks for one.
"""

from __future__ import annotations

import json
import os
import sys

import pandas
import requests

URL = os.environ.get("LOGSTORE_URL", "http://127.0.0.1:8000") + "/logs/"
KEY = os.environ.get("LOGSTORE_KEY")


def actions(first_day: str, last_day: str) -> pandas.DataFrame:
    """Return the actions of some days: time, type, userId, sessionId, and a column for each member of properties."""
    answer = requests.get(
        URL,
        # NDJSON is one log a line, so that they can be decoded while they arrive.
        params={"from": f"{first_day}T00:00:00-06:00", "to": f"{last_day}T23:59:59-06:00", "format": "ndjson"},
        headers={"Authorization": f"Bearer {KEY}"} if KEY else {},
        stream=True,
        timeout=60,
    )
    answer.raise_for_status()
    frame = pandas.json_normalize(
        [json.loads(line) for line in answer.iter_lines()], record_path="actions", meta=["userId", "sessionId"]
    )
    frame["time"] = pandas.to_datetime(frame["time"], format="ISO8601")
    return frame.rename(columns=lambda name: name.removeprefix("properties."))


if __name__ == "__main__":
    frame = actions(*sys.argv[1:])
    print(frame.groupby([frame["time"].dt.date, "type"]).size().unstack(fill_value=0).to_string())
