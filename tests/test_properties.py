"""What must hold for any input at all: hypothesis looks for one that breaks it."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from operator import itemgetter
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from logs.models import Action, IdempotencyKey, Log
from tests.builders import a_log, stored_actions, stored_logs
from tests.conftest import decoded

pytestmark = pytest.mark.django_db

# --- Valid batches ---------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
ids = st.one_of(st.sampled_from("ab"), texts.filter(bool))
names = texts.filter(bool)
times = st.datetimes().map(lambda time: f"{min(time.year, 9998):04}-01-{time.day % 28 + 1:02}T{time:%H:%M:%S}-06:00")
locations = st.one_of(
    st.integers(-(2**53) + 1, 2**53 - 1), st.floats(-(2**53) + 1, 2**53 - 1, allow_nan=False, allow_infinity=False)
)
numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


def actions_of(action_type: str, **members: Any) -> st.SearchStrategy[dict[str, Any]]:
    properties = st.builds(
        lambda others, own: {**others, **own},
        st.dictionaries(texts, values, max_size=2),
        st.fixed_dictionaries(members),
    )
    return st.fixed_dictionaries({"time": times, "type": st.just(action_type), "properties": properties})


actions = st.one_of(
    actions_of("CLICK", locationX=locations, locationY=locations),
    actions_of("VIEW", viewedId=names),
    actions_of("NAVIGATE", pageFrom=names, pageTo=names),
)
logs = st.fixed_dictionaries({"userId": ids, "sessionId": ids, "actions": st.lists(actions, min_size=1, max_size=4)})
batches = st.lists(logs, min_size=1, max_size=5)


def merged(batches: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What must come back of batches that were stored one after another."""
    by_pair: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for log in (log for batch in batches for log in batch):
        by_pair.setdefault((log["userId"], log["sessionId"]), []).extend(log["actions"])
    # Sorting is stable, and the texts sort as the instants do.
    return [
        {
            "userId": user,
            "sessionId": session,
            "actions": [in_contract_order(action) for action in sorted(actions, key=itemgetter("time"))],
        }
        for (user, session), actions in by_pair.items()
    ]


def in_contract_order(action: dict[str, Any]) -> dict[str, Any]:
    return {name: action[name] for name in ("time", "type", "properties")}


def empty_store() -> None:
    for model in (Action, Log, IdempotencyKey):
        model.objects.all().delete()


# One for all: a new one reads the whole middleware anew.
CLIENT = Client()


def send(body: bytes, content_type: str = "application/json", **headers: str) -> Any:
    return CLIENT.generic("POST", "/logs/", body, content_type=content_type, headers=headers)


@given(st.lists(batches, min_size=1, max_size=3), st.booleans())
def test_batches_come_back_as_sent_merged_and_in_order(sent, ascii_only):
    empty_store()
    for batch in sent:
        answer = send(json.dumps(batch, ensure_ascii=ascii_only).encode())
        assert answer.json() == {"success": True, "stored": sum(len(log["actions"]) for log in batch), "duplicates": 0}
    expected = merged(sent)
    assert json.dumps(decoded(CLIENT.get("/logs/"))) == json.dumps(expected)


@given(batches, batches)
def test_json_lines_and_gzip_store_the_same(one, other):
    empty_store()
    lines = "\n".join(json.dumps(log) for log in one)
    assert send(lines.encode(), "application/x-ndjson").status_code == 200
    assert send(gzip.compress(json.dumps(other).encode()), **{"Content-Encoding": "gzip"}).status_code == 200
    answer = CLIENT.get("/logs/", {"format": "ndjson"}).getvalue().decode()
    assert [json.loads(line) for line in answer.split("\n")[:-1]] == merged([one, other])


@given(batches, st.lists(st.sampled_from(["CLICK", "VIEW", "NAVIGATE"]), max_size=2), times, times, st.integers(1, 3))
def test_filters_and_pages_agree_with_a_search_by_hand(batch, types, start, end, limit):
    empty_store()
    send(json.dumps(batch).encode())
    wanted = [
        {**log, "actions": chosen}
        for log in merged([batch])
        if (
            chosen := [
                action
                for action in log["actions"]
                if start <= action["time"] <= end and (not types or action["type"] in types)
            ]
        )
    ]
    query = urlencode({"from": start, "to": end, "types": ",".join(types)})
    assert decoded(CLIENT.get(f"/logs/?{query}")) == wanted
    assert decoded(CLIENT.get(f"/logs/?{query}&order=newest")) == wanted[::-1]
    pages, url = [], f"/logs/?{query}&limit={limit}"
    while url:
        answer = CLIENT.get(url)
        pages.append(decoded(answer))
        url = answer.headers["Link"][1:].split(">")[0] if "Link" in answer.headers else None
    assert [log for page in pages for log in page] == wanted
    assert all(len(page) == limit for page in pages[:-1])
    for user in {log["userId"] for log in batch}:
        found = decoded(CLIENT.get("/logs/", {"userId": user, "from": start, "to": end, "types": types}))
        assert found == [log for log in wanted if log["userId"] == user]


# --- Anything else ---------------------------------------------------------------------------------------------------


def assert_taken_or_refused(answer_to: Callable[[], Any]) -> None:
    """The request must be answered with 200 or an error of the client's; refused, it must have changed nothing."""
    before = (stored_logs(), stored_actions(), IdempotencyKey.objects.count())
    answer = answer_to()
    if answer.status_code == 200:
        return
    assert 400 <= answer.status_code < 500, answer.content
    body = json.loads(answer.content)
    assert body["success"] is False
    assert len(body["errors"]) <= 100
    assert (stored_logs(), stored_actions(), IdempotencyKey.objects.count()) == before


wild_texts = st.one_of(st.text(max_size=10), st.text(st.characters(categories=["Cs", "Cc"]), max_size=3))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), wild_texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                wild_texts,
                st.sampled_from(
                    ["userId", "sessionId", "actions", "type", "time", "properties", "locationX", "pageTo"]
                ),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(st.one_of(anything, st.lists(anything, max_size=3)))
def test_any_json_is_taken_or_refused(value):
    assert_taken_or_refused(lambda: send(json.dumps(value).encode()))


def places_in(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place] + [inner for name, member in members for inner in places_in(member, (*place, name))]


@given(batches, anything, st.randoms(use_true_random=False))
def test_a_valid_batch_with_anything_anywhere_is_taken_or_refused(batch, intruder, random):
    changed = copy.deepcopy(batch)
    *way, last = random.choice(places_in(changed)[1:])
    parent = changed
    for name in way:
        parent = parent[name]
    parent[last] = intruder
    assert_taken_or_refused(lambda: send(json.dumps(changed).encode()))


@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda place, junk: (body := json.dumps([a_log()]).encode())[:place] + junk + body[place + 1 :],
            st.integers(0, 250),
            st.binary(max_size=4),
        ),
    ),
    st.sampled_from(["application/json", "text/plain", "application/x-ndjson"]),
    st.sampled_from(["", "gzip", "packed"]),
)
def test_any_bytes_are_taken_or_refused(body, content_type, encoding):
    data = gzip.compress(body) if encoding == "packed" else body
    headers = {"Content-Encoding": "gzip"} if encoding else {}
    assert_taken_or_refused(lambda: send(data, content_type, **headers))


@given(st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_any_damage_to_a_gzip_stream_is_found(place, junk):
    whole = gzip.compress(json.dumps([a_log()]).encode(), mtime=0)
    damaged = whole[:place] + junk + whole[place:]
    assert_taken_or_refused(lambda: send(damaged, **{"Content-Encoding": "gzip"}))


header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)


@given(header_texts, header_texts, header_texts, header_texts)
def test_any_headers_are_taken_or_refused(key, encoding, accept, known):
    headers = {"Idempotency-Key": key, "Content-Encoding": encoding}
    assert_taken_or_refused(lambda: send(json.dumps([a_log()]).encode(), **headers))
    assert_taken_or_refused(
        lambda: CLIENT.get("/logs/?userId=u", headers={"Accept-Encoding": accept, "Accept": accept})
    )
    answer = CLIENT.get("/logs/?userId=u", headers={"If-None-Match": known})
    assert answer.status_code in (200, 304)


queries = st.lists(
    st.builds(
        lambda name, value: f"{name}={value}",
        st.one_of(
            st.sampled_from(["userId", "from", "to", "types", "limit", "cursor", "order", "format"]),
            st.binary(max_size=4).map(quote_from_bytes),
        ),
        st.one_of(
            st.binary(max_size=30).map(quote_from_bytes),
            st.text(max_size=10).map(lambda text: quote_from_bytes(text.encode(errors="surrogatepass"))),
            st.sampled_from(["1", "10000", "oldest", "newest", "VIEW", "2018-10-18T21:37:28-06:00", "ndjson"]),
        ),
    ),
    max_size=4,
).map("&".join)


@given(
    st.one_of(queries, st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=50))
)
def test_any_query_is_answered_or_refused(query):
    with transaction.atomic():
        assert_taken_or_refused(lambda: CLIENT.get(f"/logs/?{query}"))
