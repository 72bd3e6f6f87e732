"""The OpenAPI document and its page: valid, complete, and true of the server by schemathesis's account."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from io import StringIO
from typing import Any, ClassVar

import pytest
import schemathesis
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase
from hypothesis import settings as limits
from jsonschema import Draft202012Validator
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.core.transforms import UNRESOLVABLE

from logs.api.example import example_log
from logs.lib.errors import ErrorCode
from logs.models import Action, IdempotencyKey, Log
from tests.builders import stored_actions, stored_logs
from tests.targets import assert_is_error

pytestmark = pytest.mark.django_db(transaction=True)


@schemathesis.serializer("text/plain")
def as_text(ctx, value):
    return json.dumps(value).encode()


@schemathesis.serializer("application/x-ndjson")
def as_lines(ctx, value):
    lines = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture
def document(client):
    return client.get("/schema/?format=json").json()


def test_the_document_is_valid_and_needs_no_guess():
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_the_properties_are_a_union_by_the_type_of_the_action(document):
    schemas = document["components"]["schemas"]
    assert schemas["Action"]["discriminator"]["mapping"] == {
        name: f"#/components/schemas/{name.capitalize()}Action" for name in ("CLICK", "VIEW", "NAVIGATE")
    }
    for branch in schemas["Action"]["oneOf"]:
        action = schemas[branch["$ref"].rpartition("/")[2]]
        properties = schemas[action["properties"]["properties"]["$ref"].rpartition("/")[2]]
        assert {
            "CLICK": ["locationX", "locationY"],
            "VIEW": ["viewedId"],
            "NAVIGATE": ["pageFrom", "pageTo"],
        }[action["properties"]["type"]["const"]] == properties["required"]


def test_every_code_that_can_be_answered_is_documented_with_its_status(document):
    documented = {
        (int(status), code)
        for operation in document["paths"]["/logs/"].values()
        for status, answer in operation["responses"].items()
        for code in re.findall(r"`([A-Z_]+)`:", answer["description"])
    }
    # NOT_FOUND is that of every other URL, INTERNAL_ERROR no input's.
    left_out = {ErrorCode.NOT_FOUND, ErrorCode.INTERNAL_ERROR}
    assert documented == {(code.status, code.name) for code in ErrorCode if code not in left_out}


def test_both_formats_are_documented_both_ways(document):
    operations = document["paths"]["/logs/"]
    assert set(operations["post"]["requestBody"]["content"]) == {
        "application/json",
        "text/plain",
        "application/x-ndjson",
    }
    assert set(operations["get"]["responses"]["200"]["content"]) == {"application/json", "application/x-ndjson"}


def test_every_example_is_what_its_schema_says(document):
    schemas = document["components"]["schemas"]
    answers = [
        media["schema"]
        for path in document["paths"].values()
        for operation in path.values()
        for answer in operation["responses"].values()
        for media in answer.get("content", {}).values()
    ]
    examined = [schema for schema in [*schemas.values(), *answers] if "examples" in schema]
    assert len(examined) >= 20
    for schema in examined:
        for example in schema["examples"]:
            # With what its references lead to.
            Draft202012Validator({**schema, "components": document["components"]}).validate(example)


def test_the_examples_are_the_batch_of_the_readme(document):
    schemas = document["components"]["schemas"]
    assert schemas["Batch"]["examples"] == [[example_log()]]
    assert schemas["Log"]["examples"] == [example_log()]
    shown = [schemas[f"{name}Action"]["examples"][0] for name in ("Click", "View", "Navigate")]
    assert shown == example_log()["actions"]


def test_every_parameter_has_one_plain_type_and_only_the_limit_is_filled_in(document):
    for operation in document["paths"]["/logs/"].values():
        for parameter in operation["parameters"]:
            assert parameter["schema"]["type"] in ("string", "integer", "array"), parameter["name"]
            assert parameter.get("example") == (10 if parameter["name"] == "limit" else None)
    names = [parameter["name"] for parameter in document["paths"]["/logs/"]["get"]["parameters"]]
    assert names[:6] == ["userId", "sessionId", "from", "to", "types", "limit"]


def test_the_idempotency_key_is_documented_in_both_its_places(document):
    places = {
        (parameter["name"], parameter["in"])
        for parameter in document["paths"]["/logs/"]["post"]["parameters"]
        if parameter["name"].lower().replace("-", "") == "idempotencykey"
    }
    assert places == {("Idempotency-Key", "header"), ("idempotencyKey", "query")}


@pytest.mark.parametrize("accept", ["application/yaml", "application/json", "*/*", "text/html"])
def test_whoever_asks_for_the_document_gets_it_or_the_contract_s_refusal(client, accept):
    answer = client.get("/schema/", headers={"Accept": accept})
    assert answer.status_code in (200, 406)
    assert b"openapi" in answer.content or answer.json()["code"] == "NOT_ACCEPTABLE"


@pytest.mark.parametrize(
    "query", ["version=%00", "version=%0A", "version=1&lang=%00", "lang=../x", "lang=" + "x" * 600]
)
def test_the_document_is_the_same_whatever_the_query_says(client, query):
    answer = client.get(f"/schema/?{query}")
    assert answer.status_code == 200
    assert answer.content == client.get("/schema/").content
    assert answer.headers["Content-Disposition"] == 'inline; filename="Logs Store.yaml"'


def test_the_page_holds_no_script_or_style_and_asks_no_other_host(client):
    page = client.get("/docs/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    html = page.content.decode()
    assert '<html lang="en">' in html
    assert re.findall(r"<script(?! src=)|<style|\bon\w+=|\bstyle=", html) == []
    assert 'rel="icon" href="/static/logs/icon.svg"' in html
    urls = re.findall(r'(?:src|href)="([^"]+)"', html)
    scripts = [url for url in urls if "script" in url and not url.startswith("/static/")]
    assert len(scripts) == 1
    for url in urls:
        if url.startswith("/static/"):
            assert finders.find(url.removeprefix("/static/"))
        elif url in scripts:
            script = client.get(url)
            assert script.headers["Content-Type"].startswith("application/javascript")
            assert b"/schema/" in script.content
            assert b"http://" not in script.content + page.content
            assert b"https://" not in script.content + page.content
        else:
            assert url in ("/", "/docs/", "/admin/")


@pytest.mark.parametrize("url", ["/docs/", "/schema/"])
def test_options_says_what_may_be_done_with_the_document_and_its_page(client, url):
    answer = client.options(url)
    assert answer.status_code == 200
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


# --- What the document says, tried -----------------------------------------------------------------------------------

CHECKS = {
    # Two generated requests may share an Idempotency-Key.
    "positive_data_acceptance": {"expected-statuses": ["2xx", "304", "422"]},
    # The store is open here.
    "ignored_auth": {"enabled": False},
}
GENERATION = {"with-security-parameters": False}
# Of the walk: it looks for a way, not for what is refused.
PHASES = {"stateful": {"generation": {"mode": "positive"}}}
described = schemathesis.openapi.from_wsgi(
    "/schema/?format=json",
    get_wsgi_application(),
    config=SchemathesisConfig.from_dict({"checks": CHECKS, "generation": GENERATION, "phases": PHASES}),
)
tried = limits(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
# What a store signs, no schema can make up.
SIGNED = {"cursor", "after"}


@pytest.fixture
def open_store(settings):
    settings.LOGSTORE_AUTH = "open"
    # Nobody stores anything meanwhile.
    settings.LOGSTORE_MAX_WAITING = 0


def is_refused_by_the_contract(ctx, response, case):
    """A check of schemathesis: a refusal has the contract's body, with a code of its status."""
    if response.status_code >= 400:
        assert_is_error(response.status_code, response.json())


@described.parametrize()
@tried
def test_the_server_does_what_the_document_says(case, open_store):
    _make_true(case)
    before = stored_logs(), stored_actions()
    answer = case.call_and_validate(additional_checks=[is_refused_by_the_contract])
    if answer.status_code >= 400:
        assert (stored_logs(), stored_actions()) == before


class Walk(described.as_state_machine()):
    """Requests one after another, each made of what the links of the document take from one before."""

    # Those of the document that led on: the method and path from where, and the link's name.
    followed: ClassVar[set[tuple[str, str]]] = set()

    def setup(self):
        for model in (Action, Log, IdempotencyKey):
            model.objects.all().delete()

    def step(self, input):
        case, link = input.case, input.transition
        taken = {} if link is None else _taken_by(link)
        if not taken:
            _make_true(case)
            return super().step(input)
        # All that it takes and nothing else, so that what must be there is not filtered out.
        case.query = taken
        case.headers.pop("If-None-Match", None)
        _make_true(case, signed=taken.keys() & SIGNED)
        output = super().step(input)
        assert output.response.status_code == 200, link.id
        # "POST /logs/ -> [200] readUser -> GET /logs/"
        start, name, _ = link.id.split(" -> ")
        name = name.removeprefix("[200] ")
        self.followed.add((start, name))
        if name in ("readSession", "readUser"):
            found = [json.loads(line) for line in _lines(output.response)]
            assert found
            assert all(log[name] == value for log in found for name, value in taken.items())
        return output

    def validate_response(self, response, case, additional_checks=None, **kwargs):
        super().validate_response(response, case, [is_refused_by_the_contract], **kwargs)


def test_the_links_of_the_document_lead_on(document, open_store):
    declared = {
        (f"{method.upper()} {path}", name)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for name in operation["responses"]["200"].get("links", {})
    }
    Walk.followed.clear()
    # Longer and longer ways, until each link was one's.
    for steps in (10, 15, 20, 25, 30):
        Walk.run(settings=limits(tried, max_examples=10, stateful_step_count=steps, phases=[Phase.generate]))
        if declared == Walk.followed:
            break
    assert declared == Walk.followed


def _taken_by(link) -> dict[str, Any]:
    taken = link.parameters.get("query", {}).items()
    values = {name: found.value.ok() for name, found in taken if isinstance(found.value, Ok)}
    return {name: value for name, value in values.items() if value not in (None, UNRESOLVABLE)}


def _lines(answer) -> list[str]:
    if answer.headers["content-type"][0] == "application/x-ndjson":
        return answer.text.split("\n")[:-1]
    return [json.dumps(log) for log in answer.json()]


def _make_true(case: schemathesis.Case, signed: Collection[str] = ()) -> None:
    """Take away what can't be made up by a schema alone: a signed cursor, one key, and a body compressed indeed."""
    for name in SIGNED - set(signed):
        case.query.pop(name, None)
    for name, value in case.query.items():
        # A whole number to JSON Schema, which a query has no other way to write.
        if isinstance(value, float) and value.is_integer():
            case.query[name] = int(value)
    if "Idempotency-Key" in case.headers:
        # The header wins: what the query says is not looked at.
        case.query.pop("idempotencyKey", None)
    if "gzip" in case.headers.get("Content-Encoding", ""):
        del case.headers["Content-Encoding"]
    # schemathesis reads an answer as it comes.
    case.headers["Accept-Encoding"] = "identity"
