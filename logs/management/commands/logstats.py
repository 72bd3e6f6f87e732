"""Tell what the store holds."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat

from logs.lib import times
from logs.management.base import MaintenanceCommand, count_argument
from logs.store.statistics import Figure, Statistics, collect

_HELP = """\
Tell what the store holds: totals, actions by type, by day of UTC and of the busiest users, size on disk, span of time.

Answers in a second or so, however much there is: past a million logs the figures are estimates, marked with "about".
"""
_EXAMPLES = """\
  manage.py logstats
  manage.py logstats --json | jq .actions.count
"""


class Command(MaintenanceCommand):
    help = _HELP
    examples = _EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines: one JSON object")
        parser.add_argument(
            "--days", metavar="N", type=count_argument, default=14, help="the last days to show (default: 14)"
        )
        parser.add_argument(
            "--top", metavar="N", type=count_argument, default=10, help="the busiest users to show (default: 10)"
        )

    def handle(self, *, days: int, top: int, **options: Any) -> None:
        statistics = collect(days, top)
        self.stdout.write(_as_json(statistics) if options["json"] else _as_text(statistics))


def _as_json(statistics: Statistics) -> str:
    return json.dumps(
        {
            "logs": _figure(statistics.logs),
            "users": _figure(statistics.users),
            "actions": _figure(statistics.actions),
            "byType": {name: _figure(figure) for name, figure in statistics.by_type.items()},
            "byDay": {day.isoformat(): _figure(figure) for day, figure in statistics.by_day.items()},
            "busiestUsers": [{"userId": user, **_figure(figure)} for user, figure in statistics.busiest_users.items()],
            "firstTime": statistics.first_time and times.format_time(statistics.first_time),
            "lastTime": statistics.last_time and times.format_time(statistics.last_time),
            "bytesOnDisk": statistics.size,
        },
        ensure_ascii=False,
    )


def _figure(figure: Figure) -> dict[str, int | bool]:
    return {"count": figure.value, "estimated": figure.is_estimate}


def _as_text(statistics: Statistics) -> str:
    rows = [
        ("Logs", statistics.logs),
        ("Users", statistics.users),
        ("Actions", statistics.actions),
        *((f"  {name}", figure) for name, figure in statistics.by_type.items()),
        ("Size on disk", filesizeformat(statistics.size).replace("\xa0", " ")),
    ]
    if statistics.first_time and statistics.last_time:
        rows += [
            ("First action", times.format_time(statistics.first_time)),
            ("Last action", times.format_time(statistics.last_time)),
            ("", ""),
            ("Day (UTC)", "Actions"),
            *((f"  {day}", figure) for day, figure in statistics.by_day.items()),
            ("", ""),
            ("Busiest users", "Actions"),
            *((f"  {user}", figure) for user, figure in statistics.busiest_users.items()),
        ]
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}".rstrip() for label, value in rows)
