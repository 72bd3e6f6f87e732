"""What must hold for any input at all: hypothesis looks for one that breaks it."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from logs.models import Action, IdempotencyKey, Log
from tests.conftest import decoded
from tests.targets import merged

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
    expected = merged(*sent)
    assert json.dumps(decoded(CLIENT.get("/logs/"))) == json.dumps(expected)


@given(batches, batches)
def test_json_lines_and_gzip_store_the_same(one, other):
    empty_store()
    lines = "\n".join(json.dumps(log) for log in one)
    assert send(lines.encode(), "application/x-ndjson").status_code == 200
    assert send(gzip.compress(json.dumps(other).encode()), **{"Content-Encoding": "gzip"}).status_code == 200
    answer = CLIENT.get("/logs/", {"format": "ndjson"}).getvalue().decode()
    assert [json.loads(line) for line in answer.split("\n")[:-1]] == merged(one, other)


@given(batches, st.lists(st.sampled_from(["CLICK", "VIEW", "NAVIGATE"]), max_size=2), times, times, st.integers(1, 3))
def test_filters_and_pages_agree_with_a_search_by_hand(batch, types, start, end, limit):
    empty_store()
    send(json.dumps(batch).encode())
    wanted = [
        {**log, "actions": chosen}
        for log in merged(batch)
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
