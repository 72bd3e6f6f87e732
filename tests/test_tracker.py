"""The tracker in a real browser, on pages of another origin: each action is stored once, whatever happens."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.management import call_command
from django.test import Client
from playwright.sync_api import expect

from logs.access.models import Scope
from tests.builders import a_key, bearer
from tests.cluster import free_port
from tests.server import PROJECT, Server, wait_until

pytest_plugins = ["tests.browser_fixtures"]
pytestmark = pytest.mark.django_db(transaction=True)

MODULE = """<script type="module">
import {LogStore} from "/static/logs/tracker.mjs";
window.store = new LogStore(OPTIONS);
window.store.autocapture();
</script>"""
SCRIPT = """<script src="/static/logs/tracker.js"></script>
<script>
window.store = new LogStore(OPTIONS);
window.store.autocapture();
</script>"""
LATER = 3_600_000
QUEUE = "() => Object.keys(localStorage).filter((name) => name.startsWith('logstore '))"


class Site:
    """A site of another origin than the store's, with a copy of the tracker, and the same page at every other path."""

    def __init__(self) -> None:
        self.html = ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_static = self.path.startswith("/static/")
                content = (PROJECT / "logs" / self.path[1:]).read_bytes() if is_static else site.html.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/javascript" if is_static else "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture(scope="module")
def site():
    site = Site()
    threading.Thread(target=site.http.serve_forever, daemon=True).start()
    yield site
    site.http.shutdown()
    site.http.server_close()


@pytest.fixture(scope="module")
def served(site, tmp_path_factory, django_db_setup, django_db_blocker):
    log = tmp_path_factory.mktemp("tracker") / "log"
    settings = {"LOGSTORE_AUTH": "keys", "LOGSTORE_CORS_ORIGINS": site.url}
    with django_db_blocker.unblock(), Server(log, **settings) as server:
        yield server


class Visitor:
    """Somebody who looks at the site, and what the store has of it."""

    def __init__(self, site, server, context) -> None:
        self.site, self.server, self.context = site, server, context
        self.ingest_key = a_key(Scope.INGEST)[1]
        self._read_key = a_key(Scope.READ)[1]
        self.troubles, self.requests = [], []
        context.on("console", lambda message: message.type == "error" and self.troubles.append(message.text))
        context.on("weberror", lambda error: self.troubles.append(str(error.error)))
        context.on("request", self._note_request)

    def _note_request(self, request) -> None:
        if "/logs/" in request.url and request.method == "POST":
            self.requests.append(request)

    def write_page(self, body="", tracker=MODULE, **options) -> None:
        """Put the tracker in the site's page. options: the tracker's, beside those that each needs."""
        store = f"http://127.0.0.1:{self.server.port}"
        options = {"url": f"{store}/logs/", "key": self.ingest_key, "userId": "visitor", "interval": 100, **options}
        script = tracker.replace("OPTIONS", json.dumps(options))
        self.site.html = f"<!doctype html>{body}{script}"

    def open(self, path="/"):
        page = self.context.new_page()
        page.goto(self.site.url + path)
        page.wait_for_function("window.store")
        return page

    def text(self) -> str:
        return self.server.request("GET", "/logs/", headers=bearer(self._read_key)).text

    def stored(self) -> Counter:
        """How often each action is stored, as its type and the values of its properties."""
        actions = [action for log in json.loads(self.text()) for action in log["actions"]]
        return Counter((action["type"], *action["properties"].values()) for action in actions)

    def has_stored(self, *actions) -> None:
        """Wait until these actions are stored and the queue is empty; then nothing more may come."""
        expected = Counter(actions)
        deadline = time.monotonic() + 20
        while self.stored() != expected and time.monotonic() < deadline:
            self.context.pages[0].wait_for_timeout(50)
        self.context.pages[0].wait_for_timeout(500)
        assert self.stored() == expected
        self.context.pages[0].wait_for_function(f"({QUEUE})().length === 0")
        assert self.stored() == expected


@pytest.fixture
def visitor(browser, site, served):
    if not served.is_running:
        served.start()
    context = browser.new_context(viewport={"width": 800, "height": 600})
    context.set_default_timeout(10_000)
    visitor = Visitor(site, served, context)
    visitor.write_page()
    yield visitor
    context.close()
    assert visitor.troubles == []


def the_browsers_own(visitor, error) -> None:
    """Take out what the browser itself tells the console of requests that fail."""
    assert visitor.troubles
    assert [trouble for trouble in visitor.troubles if error not in trouble] == []
    visitor.troubles.clear()


@pytest.mark.parametrize("name", ["tracker.js", "tracker.mjs"])
def test_the_store_serves_the_tracker_to_pages_of_any_origin(name, tmp_path, settings):
    settings.STATIC_ROOT = tmp_path
    call_command("collectstatic", "--no-input", "--verbosity", "0")
    answer = Client().get(f"/static/logs/{name}")
    assert answer.status_code == 200
    assert answer.getvalue() == (PROJECT / "logs" / "static" / "logs" / name).read_bytes()
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def clicks(*numbers):
    return [("CLICK", number, number) for number in numbers]


@pytest.mark.parametrize("tracker", [MODULE, SCRIPT], ids=["module", "script"])
def test_what_visitors_do_is_recorded_by_itself(visitor, tracker):
    body = """<style>body { margin: 0; height: 3000px }</style><a href="#there">there</a><p data-view-id="top">top
        <p data-view-id="" >none<p data-view-id="hidden" hidden>hidden
        <p data-view-id="bottom" style="position: absolute; top: 2000px">bottom"""
    visitor.write_page(body, tracker)
    page = visitor.open("/start?q=secret#hash")
    page.mouse.click(30, 400)
    page.evaluate("scrollTo(0, 1800)")
    page.mouse.click(31, 250)
    # What is seen is what stays for some frames.
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 200)))")
    page.evaluate("scrollTo(0, 0)")
    page.evaluate("document.body.insertAdjacentHTML('afterbegin', '<div><p data-view-id=late>late</p></div>')")
    page.wait_for_timeout(200)
    page.evaluate("document.body.append(document.querySelector('[data-view-id=late]'))")
    page.evaluate("document.querySelector('[data-view-id=top]').dataset.viewId = 'changed'")
    page.evaluate("scrollTo(0, 1800); scrollTo(0, 0)")
    visitor.has_stored(
        ("CLICK", 30, 400),
        ("CLICK", 31, 2050),
        *(("VIEW", name) for name in ("top", "bottom", "late", "changed")),
    )
    assert visitor.text().count('"sessionId"') == 1


def test_navigation_by_the_history_api_is_recorded_as_paths(visitor):
    page = visitor.open("/start?q=secret#hash")
    page.evaluate("history.pushState({}, '', '/inventory?q=secret')")
    page.evaluate("history.pushState({}, '', '/inventory?q=other')")
    page.evaluate("history.replaceState({}, '', '/community#secret')")
    page.evaluate("location.hash = 'other'")
    page.evaluate("history.go(-3)")
    page.wait_for_url("**/start?q=secret#hash")
    visitor.has_stored(
        ("NAVIGATE", "/start", "/inventory"),
        ("NAVIGATE", "/inventory", "/community"),
        ("NAVIGATE", "/community", "/start"),
    )
    assert "secret" not in visitor.text()


def test_a_label_a_double_click_and_a_key_count_as_the_hand_clicked(visitor):
    visitor.write_page("<label><input type=checkbox> yes</label>")
    page = visitor.open()
    page.mouse.click(35, 15)
    assert page.locator("input").is_checked()
    page.mouse.dblclick(35, 300)
    page.locator("input").press("Space")
    visitor.has_stored(("CLICK", 35, 15), ("CLICK", 35, 300), ("CLICK", 35, 300))


def test_a_tab_that_is_closed_sends_what_it_has(visitor):
    visitor.write_page(interval=LATER)
    page = visitor.open()
    page.wait_for_timeout(300)
    page.evaluate("[1, 2, 3].forEach((n) => store.click(n, n))")
    assert visitor.requests == []
    other = visitor.context.new_page()
    page.close(run_before_unload=True)
    wait_until(lambda: visitor.stored() == Counter(clicks(1, 2, 3)))
    # The next page sends it again, as it has no answer.
    other.goto(visitor.site.url)
    visitor.has_stored(*clicks(1, 2, 3))


@pytest.mark.parametrize("beacon", ["true", "false"], ids=["with a beacon", "without beacons"])
def test_a_page_that_is_reloaded_in_mid_queue_loses_nothing(visitor, beacon):
    visitor.write_page(interval=LATER)
    page = visitor.open()
    page.wait_for_timeout(300)
    page.evaluate("[1, 2, 3].forEach((n) => store.click(n, n))")
    page.evaluate(f"{beacon} || (navigator.sendBeacon = () => false)")
    assert visitor.requests == []
    page.reload()
    visitor.has_stored(*clicks(1, 2, 3))
    assert len(visitor.requests) >= 1


def test_what_is_done_offline_is_sent_when_the_network_is_back(visitor):
    page = visitor.open()
    visitor.context.set_offline(True)
    for number in range(5):
        page.evaluate("(n) => store.click(n, n)", number)
        page.wait_for_timeout(150)
    assert visitor.stored() == Counter()
    visitor.context.set_offline(False)
    visitor.has_stored(*clicks(*range(5)))
    the_browsers_own(visitor, "ERR_INTERNET_DISCONNECTED")


def test_what_is_done_while_the_store_is_down_is_sent_when_it_runs_again(visitor):
    page = visitor.open()
    page.evaluate("store.click(1, 1)")
    wait_until(lambda: visitor.stored() == Counter(clicks(1)))
    page.wait_for_timeout(500)
    visitor.server.stop()
    for number in (2, 3, 4):
        page.evaluate("(n) => store.click(n, n)", number)
        page.wait_for_timeout(700)
    visitor.server.start()
    page.evaluate("store.click(5, 5)")
    visitor.has_stored(*clicks(1, 2, 3, 4, 5))
    the_browsers_own(visitor, "ERR_")


def test_a_thousand_clicks_in_a_second(visitor):
    page = visitor.open()
    page.evaluate(
        """async () => {
            for (let n = 0; n < 1000; n++) {
                store.click(n, n);
                if (n % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 8));
            }
        }"""
    )
    visitor.has_stored(*clicks(*range(1000)))
    assert len(visitor.requests) < 100
    assert all(len(request.post_data_buffer) < 60_000 for request in visitor.requests)


def test_several_tabs_neither_lose_nor_double(visitor):
    pages = [visitor.open(f"/{number}") for number in range(3)]
    for start in range(0, 300, 30):
        for offset, page in enumerate(pages):
            page.evaluate(
                "(start) => { for (let n = start; n < start + 10; n++) store.click(n, n); }", start + 10 * offset
            )
        if start == 120:
            pages[1].reload()
            pages[1].wait_for_function("window.store")
    pages.pop().close(run_before_unload=True)
    pages[0].bring_to_front()
    visitor.has_stored(*clicks(*range(300)))


@pytest.mark.parametrize("signal, value", [("globalPrivacyControl", "true"), ("doNotTrack", "'1'")])
def test_who_asks_not_to_be_tracked_is_not(visitor, signal, value):
    visitor.context.add_init_script(
        f"Object.defineProperty(Navigator.prototype, '{signal}', {{get: () => {value}, configurable: true}})"
    )
    visitor.write_page("<p data-view-id=seen>seen")
    page = visitor.open()
    page.mouse.click(10, 10)
    page.evaluate("store.click(1, 1); store.view('one'); history.pushState({}, '', '/other')")
    page.wait_for_timeout(500)
    page.reload()
    page.wait_for_timeout(500)
    assert visitor.requests == []
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    visitor.write_page("<p data-view-id=seen>seen", ignorePrivacySignals=True)
    page.reload()
    visitor.has_stored(("VIEW", "seen"))


def test_what_is_typed_never_leaves_the_page(visitor):
    visitor.write_page("<form><input name=secret data-view-id=field value=preset-secret><textarea></textarea></form>")
    page = visitor.open()
    field = page.locator("input")
    box = field.bounding_box()
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    field.fill("typed-secret")
    page.locator("textarea").fill("written-secret")
    page.keyboard.press("Tab")
    expect(field).to_have_value("typed-secret")
    visitor.has_stored(("VIEW", "field"), ("CLICK", box["x"] + 5, box["y"] + 5))
    sent = " ".join(request.url + (request.post_data or "") for request in visitor.requests)
    assert "secret" not in visitor.text() + sent
    assert "secret" not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")


def test_what_the_store_refuses_is_not_sent_again(visitor):
    tracker = MODULE.replace("OPTIONS", "{...OPTIONS, onError: (...refusal) => { window.refusal = refusal; }}")
    visitor.write_page(tracker=tracker, key="ls_unknown")
    page = visitor.open()
    page.evaluate("store.click(1, 1)")
    page.wait_for_function("window.refusal")
    status, body = page.evaluate("refusal")
    assert (status, json.loads(body)["code"]) == (401, "INVALID_API_KEY")
    page.wait_for_timeout(3_000)
    assert len(visitor.requests) == 1
    visitor.has_stored()
    the_browsers_own(visitor, "401")
