"""Clients that load a server with batches, and remember what became of each."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter

from tests.builders import a_click, a_log, a_view
from tests.cluster import Cluster
from tests.server import Server, wait_until

ACTIONS_IN_A_BATCH = 20


class Load:
    """Clients that post batches until the `with` block ends.

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

    def acknowledges_more(self, batches: int) -> None:
        """Return as soon as so many more batches are acknowledged."""
        enough = len(self.acknowledged) + batches
        wait_until(lambda: len(self.acknowledged) >= enough)

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
        status = None
        with contextlib.suppress(OSError, http.client.HTTPException):
            status = self._server.post(batch, {"Idempotency-Key": name} if self._with_keys else {}).status
        self.statuses.append(status)
        return status == 200


def actions_by_batch(cluster: Cluster) -> Counter[str]:
    """How many actions a cluster holds of each batch."""
    with cluster.cursor() as cursor:
        cursor.execute("SELECT properties ->> 'batch', count(*) FROM logs_action GROUP BY 1")
        return Counter(dict(cursor.fetchall()))


def assert_nothing_lost_nothing_partial(cluster: Cluster, *loads: Load) -> None:
    """Nor is anything doubled: the cluster holds every acknowledged batch once, whole and counted."""
    acknowledged = {name for load in loads for name in load.acknowledged}
    stored = actions_by_batch(cluster)
    assert acknowledged
    assert acknowledged <= set(stored) <= {name for load in loads for name in load.sent}
    assert set(stored.values()) == {ACTIONS_IN_A_BATCH}
    with cluster.cursor() as cursor:
        cursor.execute("SELECT sum(click_count + view_count + navigate_count) FROM logs_log")
        assert cursor.fetchone() == (stored.total(),)
