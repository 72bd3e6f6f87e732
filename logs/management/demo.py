"""Made-up data that looks like use: sessions of people who walk through pages, click where buttons are, and sleep."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import NamedTuple

from logs.lib import times
from logs.lib.jsontext import JSONValue

_MEAN_ACTIONS = 20


class _Page(NamedTuple):
    """A page of the made-up site.

    next: the pages that users go on to, with weights.
    items: how many things it shows.
    buttons: where its buttons are, in pixels.
    """

    next: dict[str, int]
    items: int
    buttons: tuple[tuple[int, int], ...]


class _Step(NamedTuple):
    """An action before it is written as one."""

    time: datetime
    type: str
    properties: dict[str, JSONValue]


_PAGES = {
    "home": _Page({"communities": 5, "inventory": 4, "search": 3}, 0, ((180, 90), (420, 90), (960, 420))),
    "communities": _Page({"community": 6, "home": 2, "inventory": 2}, 40, ((300, 260), (300, 420), (1180, 90))),
    "community": _Page({"inventory": 5, "communities": 3, "home": 1}, 40, ((640, 700), (1180, 260))),
    "inventory": _Page({"lot": 7, "search": 2, "home": 1}, 400, ((240, 330), (560, 330), (880, 330), (640, 900))),
    "lot": _Page({"inventory": 4, "contact": 2, "communities": 1}, 400, ((1020, 560), (200, 640))),
    "search": _Page({"lot": 5, "inventory": 3, "search": 2}, 400, ((960, 140), (400, 380), (400, 520))),
    "contact": _Page({"home": 4, "inventory": 2}, 0, ((640, 820),)),
}
# How much is going on in each hour of the day, and on each day of the week from Monday on.
_HOURS = (2, 1, 1, 1, 1, 2, 5, 12, 22, 30, 34, 33, 28, 30, 33, 32, 30, 28, 27, 30, 32, 26, 14, 6)
_WEEKDAYS = (10, 11, 11, 11, 10, 7, 6)
_SCREEN = (1280, 1024)


def demo_logs(users: int, actions: int, days: int, seed: int, end: date) -> Iterator[JSONValue]:
    """Yield logs as a client would post them, oldest first, with exactly `actions` actions of at most `users` users.

    end: the last of the days, in the zone of the wire; nothing goes on after it. The same arguments give the same logs;
    sessions of other arguments are other sessions.
    """
    random = Random(f"{users} {actions} {days} {seed} {end}")  # noqa: S311 - for play, not secret
    # A few people come again and again, most hardly ever.
    weights = list(accumulate(1 / (number + 3) for number in range(users)))
    last = datetime.combine(end, datetime.max.time(), times.WIRE_ZONE).replace(microsecond=0)
    number = 0
    for day, share in _shares(actions, days, end):
        for start, count in _sessions(random, day, share):
            number += 1
            user = random.choices(range(users), cum_weights=weights)[0]
            steps = list(_walk(random, start, count))
            # A session that would go on after the end was as much earlier.
            late = max(steps[-1].time - last, timedelta())
            yield {
                "userId": f"demo-user-{user + 1:05}",
                "sessionId": f"demo-{number:07}-{random.getrandbits(48):012x}",
                "actions": [
                    {"time": times.format_time(step.time - late), "type": step.type, "properties": step.properties}
                    for step in steps
                ],
            }


def _shares(actions: int, days: int, end: date) -> Iterator[tuple[date, int]]:
    """Yield each day with its share of the actions, none of which is lost to rounding."""
    dates = [end - timedelta(back) for back in range(days - 1, -1, -1)]
    totals = list(accumulate(_WEEKDAYS[day.weekday()] for day in dates))
    given = 0
    for day, total in zip(dates, totals, strict=True):
        due = actions * total // totals[-1]
        yield day, due - given
        given = due


def _sessions(random: Random, day: date, actions: int) -> Iterator[tuple[datetime, int]]:
    counts = []
    while actions > 0:
        counts.append(min(actions, 1 + int(random.expovariate(1 / (_MEAN_ACTIONS - 1)))))
        actions -= counts[-1]
    midnight = datetime.combine(day, datetime.min.time(), times.WIRE_ZONE)
    seconds = sorted(
        hour * 3600 + random.randrange(3600) for hour in random.choices(range(24), weights=_HOURS, k=len(counts))
    )
    for second, count in zip(seconds, counts, strict=True):
        yield midnight + timedelta(seconds=second), count


def _walk(random: Random, time: datetime, count: int) -> Iterator[_Step]:
    name = random.choices(("home", "inventory", "search"), weights=(6, 3, 1))[0]
    for _ in range(count):
        page = _PAGES[name]
        step = random.random()
        if step < 0.25:
            going = random.choices(list(page.next), weights=list(page.next.values()))[0]
            yield _Step(time, "NAVIGATE", {"pageFrom": name, "pageTo": going})
            name = going
        elif step < 0.5 and page.items:
            # The first of a list are viewed most.
            item = int(page.items * random.random() ** 2)
            yield _Step(time, "VIEW", {"viewedId": f"{name}-{item:03}"})
        else:
            yield _Step(time, "CLICK", _click(random, page))
        time += timedelta(seconds=1 + int(random.expovariate(1 / 12)))


def _click(random: Random, page: _Page) -> dict[str, JSONValue]:
    # Most clicks hit a button, and its middle more than its edge; some hit nothing.
    if random.random() < 0.1:
        x, y = random.randrange(_SCREEN[0]), random.randrange(_SCREEN[1])
    else:
        centre = random.choice(page.buttons)
        x, y = (round(random.gauss(middle, spread)) for middle, spread in zip(centre, (22, 9), strict=True))
    return {"locationX": max(x, 0), "locationY": max(y, 0)}
