"""What protects pages for people stays with them: a program's request has no session, no form and no page to guard."""

from __future__ import annotations

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session

from tests.builders import a_log

pytestmark = pytest.mark.django_db

FOR_PROGRAMS = ["/logs/", "/logs?limit=1", "/metrics", "/schema/", "/readyz"]


def _session_queries(queries) -> list[str]:
    return [query["sql"] for query in queries if Session._meta.db_table in query["sql"]]


@pytest.mark.parametrize("url", FOR_PROGRAMS)
def test_a_program_has_no_session_though_it_sends_a_cookie(admin_client, django_assert_max_num_queries, url):
    with django_assert_max_num_queries(10) as queries:
        answer = admin_client.get(url)
    assert answer.status_code == 200
    assert _session_queries(queries) == []
    assert not answer.cookies
    assert "Cookie" not in answer.headers.get("Vary", "")


def test_a_page_has_the_session_of_its_cookie(admin_client, django_assert_max_num_queries):
    with django_assert_max_num_queries(30) as queries:
        answer = admin_client.get("/admin/")
    assert answer.status_code == 200
    assert _session_queries(queries)
    assert "Cookie" in answer.headers["Vary"]


def test_a_form_of_the_admin_needs_its_token_and_a_batch_needs_none(client):
    client.handler.enforce_csrf_checks = True
    assert client.post("/admin/login/", {"username": "x", "password": "y"}).status_code == 403
    assert client.post("/logs/", [a_log()], content_type="application/json").status_code == 200


@pytest.mark.parametrize("url", ["/logs/", "/metrics", "/schema/", "/docs/", "/admin/login/"])
def test_a_page_and_an_answer_to_a_program_have_the_same_policy(client, url):
    directives = django_settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    policy = client.get(url).headers["Content-Security-Policy"]
    assert {part.split()[0] for part in policy.split(";")} == set(directives)


def test_a_url_of_a_page_gets_its_slash_and_one_of_the_api_is_taken_without(client):
    assert client.get("/admin").headers["Location"] == "/admin/"
    assert client.get("/logs").status_code == 200
