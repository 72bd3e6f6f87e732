"""The front page: a page for people, links for programs, nothing that is stored."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib.staticfiles import finders

from logs import __version__
from logs.api.example import example_log
from tests.builders import a_log, refusal, store_logs, stored_actions
from tests.server import PROJECT, Server

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
in_either_mode = pytest.mark.parametrize("debug", [False, True], ids=["production", "debug"])


@pytest.fixture
def page(client):
    def read(**headers):
        answer = client.get("/", headers={"Accept": BROWSER, **headers})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        return answer.content.decode()

    return read


@in_either_mode
def test_a_browser_gets_a_page_that_says_what_this_is(page, settings, debug):
    settings.DEBUG = debug
    html = page()
    assert "<title>Logs Store</title>" in html
    assert f"Version {__version__}" in html
    assert "manage.py createsuperuser" in html
    for url in (
        "/docs/",
        "/schema/?format=json",
        "/admin/",
        "/healthz",
        "/readyz",
        "/logs/?userId=try-it&amp;limit=10",
    ):
        assert f'href="{url}"' in html


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "*/*",
        "application/json, text/html;q=0.9",
        "text/html;q=0.5, */*",
        "image/png",
        "",
        ";",
        "\x7f",
    ],
)
def test_whoever_asks_for_json_or_anything_gets_links(client, accept):
    answer = client.get("/", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert (body["name"], body["version"]) == ("Logs Store", __version__)
    assert body["links"] == {
        "logs": "/logs/",
        "docs": "/docs/",
        "schema": "/schema/",
        "admin": "/admin/",
        "healthz": "/healthz",
        "readyz": "/readyz",
    }


def test_whoever_asks_for_nothing_special_gets_links(client):
    assert client.get("/").json()["name"] == "Logs Store"


@pytest.mark.django_db
def test_every_link_leads_somewhere(client):
    for url in client.get("/").json()["links"].values():
        assert client.get(url).status_code in (200, 302)


@pytest.mark.parametrize("accept", ["application/json", BROWSER])
def test_a_cache_keeps_the_page_and_the_links_apart(client, accept):
    answer = client.get("/", headers={"Accept": accept})
    assert answer.headers["Vary"].split(", ")[0] == "Accept"
    assert not answer.cookies


@pytest.mark.parametrize("url", ["/", "/favicon.ico"])
@pytest.mark.parametrize("accept", ["application/json", BROWSER])
def test_head_is_answered_like_get_without_a_body(client, accept, url):
    head = client.head(url, headers={"Accept": accept})
    get = client.get(url, headers={"Accept": accept})
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


@in_either_mode
@pytest.mark.parametrize("url", ["/", "/favicon.ico"])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "trace"])
def test_another_method_is_refused(client, settings, debug, method, url):
    settings.DEBUG = debug
    client.handler.enforce_csrf_checks = True
    answer = getattr(client, method)(url)
    assert refusal(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_options_says_what_may_be_done(client):
    answer = client.options("/")
    assert (answer.status_code, answer.headers["Allow"]) == (200, "GET, HEAD, OPTIONS")


def test_the_page_holds_no_script_or_style_and_asks_no_other_host(page, settings):
    html = page()
    assert re.findall(r"<script(?! src=)|<style|\bon\w+=|\bstyle=", html) == []
    sources = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)
    assert "/static/logs/icon.svg" in sources
    for url in sources:
        assert finders.find(url.removeprefix("/static/"))
    assert set(re.findall(r"https?://[^/ \"']+", html)) == {"http://testserver"}


def test_the_icon_is_where_browsers_look_for_it_unasked(client):
    answer = client.get("/favicon.ico")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/static/logs/favicon.ico")
    assert finders.find("logs/favicon.ico")


@pytest.mark.parametrize("auth", ["open", "keys"])
@pytest.mark.django_db
def test_the_page_shows_nothing_that_is_stored(client, settings, auth):
    settings.LOGSTORE_AUTH = auth
    before = client.get("/", headers={"Accept": BROWSER}).content
    store_logs(a_log(user="secretuser"))
    assert client.get("/", headers={"Accept": BROWSER}).content == before


@pytest.mark.django_db
def test_the_batch_that_the_page_shows_is_the_readme_s_and_can_be_stored(page, post_bytes):
    text = re.search(r'<span id="batch">(.*?)</span>', page(), re.DOTALL)[1].replace("&quot;", '"')
    assert json.loads(text) == [example_log("try-it")]
    assert post_bytes(text).json() == {"success": True, "stored": 3, "duplicates": 0}
    readme = (PROJECT / "README.md").read_text()
    assert json.loads(re.search(r"-d '\n(\[.*?\])'\n```", readme, re.DOTALL)[1]) == [example_log()]


def test_a_store_that_requires_keys_has_no_button_but_says_how_to_make_a_key(page, settings):
    assert "<button" in page()
    settings.LOGSTORE_AUTH = "keys"
    html = page()
    assert "<button" not in html
    assert "front.js" not in html
    assert "createapikey" in html
    assert "Authorization: Bearer KEY" in html


@pytest.mark.django_db(transaction=True)
def test_the_page_works_behind_a_proxy(tmp_path):
    settings = {"LOGSTORE_BEHIND_PROXY": "true", "ALLOWED_HOSTS": "logs.example.com", "WEB_CONCURRENCY": 1}
    through_the_proxy = {"Host": "logs.example.com", "X-Forwarded-Proto": "https", "Accept": BROWSER}
    with Server(tmp_path / "log", **settings) as server:
        page = server.request("GET", "/", headers=through_the_proxy)
        assert page.status == 200
        assert "curl https://logs.example.com/logs/ -H" in page.text
        plain = server.request("GET", "/", headers={"Host": "logs.example.com"})
        assert (plain.status, plain.headers["Location"]) == (301, "https://logs.example.com/")
        for name in ("icon.svg", "favicon.ico", "front.css", "front.js"):
            assert server.request("GET", f"/static/logs/{name}", headers=through_the_proxy).status == 200
        refused = server.request("GET", "/", headers={**through_the_proxy, "Host": "evil.example"})
        assert refused.status == 400
        assert "The Host header is not one of ALLOWED_HOSTS." in refused.text
    assert stored_actions() == 0
