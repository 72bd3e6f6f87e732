"""Server time and number of queries of every page of the admin, over millions of actions on PostgreSQL.

Usage, with DATABASE_URL naming an empty database that may be filled:

    python -m benchmarks.admin [--actions 5000000] [--days 30]

Fills the database unless it is filled; prints for each page the first and the best of three times, and the queries.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlencode

import django
from django.core.management import call_command
from django.db import connection, models
from django.test.utils import CaptureQueriesContext


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actions", type=int, default=5_000_000)
    parser.add_argument("--days", type=int, default=30, help="over how many days they are spread")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "logstore_project.settings")
    django.setup()
    if connection.vendor != "postgresql":
        parser.error("set DATABASE_URL to a PostgreSQL database: it makes the sample")

    from django.conf import settings

    from benchmarks.sample import fill
    from logs.admin.charts import CHARTS
    from logs.models import Action
    from logs.store import days

    settings.ALLOWED_HOSTS = ["testserver"]
    # No line of each request between those of the table.
    logging.getLogger("logstore.access").setLevel(logging.WARNING)
    call_command("migrate", verbosity=0)
    if not Action.objects.exists():
        began = time.perf_counter()
        fill(options.actions, options.days)
        print(f"filled in {time.perf_counter() - began:.0f} s")
    _measure(_pages())
    # As late in the evening as it gets: a whole day's actions are not rolled up yet.
    days.SETTLED_AFTER = timedelta(days=1)
    _measure((f"insights, {name}, 7 days, late in the evening", f"/admin/insights/{name}.json") for name in CHARTS)


def _measure(pages: Iterable[tuple[str, str]]) -> None:
    from django.contrib.auth.models import User
    from django.core.cache import cache
    from django.test import Client

    staff, _ = User.objects.get_or_create(username="benchmark", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(staff)
    print(f"{'page':<58}{'first':>8}{'best':>8}{'queries':>9}")
    for name, url in pages:
        times = []
        for _ in range(3):
            cache.clear()
            with CaptureQueriesContext(connection) as queries:
                began = time.perf_counter()
                answer = client.get(url)
                times.append(1000 * (time.perf_counter() - began))
                while answer.status_code == 202:
                    answer = client.get(url)
                    times[-1] = 1000 * (time.perf_counter() - began)
            if answer.streaming:
                answer.close()
        status = "" if answer.status_code == 200 else f"  status {answer.status_code}"
        print(f"{name:<58}{times[0]:>5.0f} ms{min(times):>5.0f} ms{len(queries):>9}{status}")


def _pages() -> Iterable[tuple[str, str]]:
    from django.utils import timezone

    from benchmarks.sample import LONG_LOG
    from logs.admin.actions import _by_time
    from logs.admin.charts import CHARTS
    from logs.admin.logs import _logs_by_time
    from logs.admin.pages import Pager
    from logs.admin.timeline import session_pager
    from logs.models import Action, Log

    logs, actions, insights = "/admin/logs/log/", "/admin/logs/action/", "/admin/insights/"
    now = timezone.now()
    range_ = {"from": f"{now - timedelta(days=9):%Y-%m-%dT%H:%M}", "to": f"{now - timedelta(days=8):%Y-%m-%dT%H:%M}"}
    long_log = Log.objects.get(session_id=LONG_LOG)
    short_log = Log.objects.exclude(id=long_log.id).latest("id")
    oldest_log = Log.objects.order_by("first_time")[200]
    oldest_action = Action.objects.order_by("time")[200]
    late_action = Action.objects.filter(user_id=long_log.user_id, log_id=long_log.id).order_by("-time")[200]

    def after(pager: Pager, row: models.Model) -> str:
        return pager.encode(pager.position(row))

    yield "index", "/admin/"
    yield "logs", logs
    yield "logs, near the oldest", f"{logs}?after={after(_logs_by_time, oldest_log)}"
    yield "logs, one day", f"{logs}?{urlencode(range_)}"
    yield "logs, with navigations", f"{logs}?types=NAVIGATE"
    yield "logs, user begins with user-1 (many)", f"{logs}?q=user-1"
    yield "logs, session begins with session-4999 (some)", f"{logs}?q=session-4999"
    yield "logs, exactly one session", f"{logs}?q=%22session-77%22"
    yield "logs, nothing found", f"{logs}?q=nobody"
    yield "logs, the busiest user", f"{logs}?user=user-0"
    yield "one log of 10 actions", f"{logs}{short_log.id}/change/"
    yield "one log of 50,000 actions", f"{logs}{long_log.id}/change/"
    yield (
        "one log of 50,000 actions, near its end",
        f"{logs}{long_log.id}/change/?after={after(session_pager, late_action)}",
    )
    yield "delete a log of 50,000 actions: the question", f"{logs}{long_log.id}/delete/"
    yield "erase a user: the question", f"{logs}{long_log.id}/erase-user/"
    yield "actions", actions
    yield "actions, near the oldest", f"{actions}?after={after(_by_time, oldest_action)}"
    yield "actions, one day", f"{actions}?{urlencode(range_)}"
    yield "actions, clicks", f"{actions}?types=CLICK"
    yield "actions, an id that is never viewed", f"{actions}?types=VIEW&viewedId=nothing"
    yield "actions, a square of the heatmap", f"{actions}?types=CLICK&box=0,0,20,20"
    yield "actions, the busiest user", f"{actions}?user=user-0"
    yield "actions, the user of the long log", f"{actions}?user={long_log.user_id}"
    yield "actions, one day of the user of the long log", f"{actions}?{urlencode({**range_, 'user': long_log.user_id})}"
    yield "one action", f"{actions}{oldest_action.id}/change/"
    yield "export of everything as CSV, until it begins", f"{actions}export.csv"
    yield "export of a user as NDJSON, until it begins", f"{actions}export.ndjson?user=user-0"
    yield "insights", insights
    for chart in CHARTS:
        yield f"insights, {chart}, 7 days (first: with rolling up)", f"{insights}{chart}.json"
    days = urlencode({"from": (now - timedelta(days=29)).date(), "to": now.date()})
    for chart in CHARTS:
        yield f"insights, {chart}, 30 days", f"{insights}{chart}.json?{days}"
    for chart in CHARTS:
        yield f"insights, {chart}, one busy user", f"{insights}{chart}.json?user={long_log.user_id}"
    yield "insights, clicks on one page", f"{insights}clicks.json?page=page-1"


if __name__ == "__main__":
    main()
