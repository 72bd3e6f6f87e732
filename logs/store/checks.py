"""System checks that say when nobody takes care of the store, and when a part of it is away."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning, register
from django.db import DatabaseError

from logs.lib.database import is_made
from logs.lib.times import format_time
from logs.store import distribution, maintenance


@register
def check_maintenance(**kwargs: Any) -> list[CheckMessage]:
    """Warn about a store whose nightly work is overdue. Say nothing while the database is away or has no tables."""
    if not is_made():
        return []
    try:
        status = maintenance.status()
    except DatabaseError:
        return []
    if not status.is_overdue:
        return []
    last = f"last done at {format_time(status.succeeded)}" if status.succeeded else "never done"
    return [
        Warning(
            f"The store's nightly work is overdue: it was {last}.",
            hint="Run `python manage.py maintain` now, and every night by a timer.",
            id="logs.W001",
        )
    ]


@register
def check_workers(**kwargs: Any) -> list[CheckMessage]:
    """Warn about each worker of a cluster that is away. Say nothing while the database is away or has no tables."""
    if not is_made():
        return []
    try:
        nodes = distribution.nodes()
    except DatabaseError:
        return []
    return [
        Warning(
            f"The worker {node.name} of the cluster is away: what it holds can't be read or written.",
            hint="Start it, or move its shards: see docs/scaling.md.",
            id="logs.W002",
        )
        for node in nodes
        if node.is_away
    ]
