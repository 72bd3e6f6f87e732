"""The front page and the API's docs in a real browser."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import expect

from logs.api.example import example_log
from logs.models import Action, Log
from tests.browser import has_no_sideways_scroll, on_every_screen
from tests.builders import some_logs, store_logs

pytest_plugins = ["tests.browser_fixtures"]
pytestmark = pytest.mark.django_db(transaction=True)


def _background(page, selector="body") -> int:
    """How bright it is, from 0 to 255."""
    colour = page.locator(selector).first.evaluate("element => getComputedStyle(element).backgroundColor")
    red, green, blue, *_ = (float(part) for part in colour.partition("(")[2].rstrip(")").split(","))
    return round((red + green + blue) / 3)


@on_every_screen
def test_a_click_on_the_front_page_stores_the_log_that_it_shows(visit):
    page = visit.open("/")
    assert has_no_sideways_scroll(page)
    page.get_by_role("button", name="Send it from here").click()
    expect(page.locator(".answer")).to_have_text('{"success":true,"stored":3,"duplicates":0}')
    expect(page.get_by_role("status")).to_contain_text("200")
    assert list(Log.objects.values_list("user_id", flat=True)) == ["try-it"]
    assert set(Action.objects.values_list("type", flat=True)) == {"CLICK", "VIEW", "NAVIGATE"}
    assert has_no_sideways_scroll(page)
    page.get_by_role("link", name="Open it in the browser").click()
    expect(page.locator("body")).to_contain_text('"userId":"try-it"')


def test_the_front_page_says_that_the_store_did_not_answer(visit):
    page = visit.open("/")
    page.route("**/logs/", lambda route: route.abort())
    page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text("The store did not answer.")
    expect(page.get_by_role("button")).to_be_enabled()
    # The browser itself tells the console of a request that failed.
    assert len(visit.troubles) == 1
    visit.troubles.clear()


def test_the_front_page_shows_what_the_store_refuses(visit):
    page = visit.open("/")
    page.locator("#batch").evaluate("element => { element.textContent = '[]'; }")
    page.get_by_role("button").click()
    expect(page.locator(".answer")).to_contain_text("NO_LOGS_PROVIDED")
    assert len(visit.troubles) == 1
    visit.troubles.clear()


@on_every_screen
def test_a_store_that_requires_keys_says_how_to_make_one_and_has_no_button(visit, settings):
    settings.LOGSTORE_AUTH = "keys"
    page = visit.open("/")
    expect(page.get_by_text("createapikey")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    assert has_no_sideways_scroll(page)


@on_every_screen
def test_the_front_page_is_as_dark_as_the_screen_asks(visit):
    page = visit.open("/")
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert (_background(page) < 50) == is_dark


@pytest.mark.parametrize("name", ["API docs", "Admin", "Health", "Readiness", "OpenAPI document"])
def test_every_link_of_the_front_page_leads_somewhere(visit, name):
    page = visit.open("/")
    with page.expect_response(lambda answer: answer.request.is_navigation_request()) as answer:
        page.locator("main").get_by_role("link", name=name).click()
    assert answer.value.status in (200, 302)
    expect(page.locator("body")).not_to_be_empty()


def test_the_admin_leads_to_the_front_page_and_to_the_docs(visit):
    User.objects.create_superuser("root", password="a long enough password")
    client = Client()
    client.force_login(User.objects.get())
    visit.page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": visit.server}]
    )
    page = visit.open("/admin/")
    page.get_by_role("link", name="API docs").click()
    expect(page).to_have_url(f"{visit.server}/docs/")
    page = visit.open("/admin/")
    page.get_by_role("link", name="View site").click()
    expect(page).to_have_url(f"{visit.server}/")


def _operation(page, name):
    """An operation in Swagger UI, opened."""
    operation = page.locator(".opblock", has=page.get_by_text(name, exact=True))
    operation.locator(".opblock-summary-control").click()
    expect(operation.get_by_role("button", name="Execute")).to_be_visible()
    return operation


def _execute(page, operation):
    """The answer to the request that Swagger UI sends with what is filled in."""
    with page.expect_response(lambda answer: "/logs/" in answer.url) as answer:
        operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table tbody .response-col_status")).to_contain_text(
        str(answer.value.status)
    )
    return answer.value


@on_every_screen
def test_the_docs_post_the_example_and_read_a_page_with_what_is_filled_in(visit, get):
    store_logs(*some_logs(12))
    page = visit.open("/docs/")
    operation = _operation(page, "appendLogs")
    assert has_no_sideways_scroll(page)
    answer = _execute(page, operation)
    assert (answer.status, answer.json()) == (200, {"success": True, "stored": 3, "duplicates": 0})
    assert get(userId="ABC123XYZ") == [example_log()]
    operation.locator(".opblock-summary-control").click()
    operation = _operation(page, "readLogs")
    answer = _execute(page, operation)
    assert answer.url == f"{visit.server}/logs/?limit=10&order=oldest"
    assert len(answer.json()) == 10
    assert has_no_sideways_scroll(page)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-ndjson"])
def test_the_docs_post_the_example_in_every_format(visit, get, media_type):
    page = visit.open("/docs/")
    operation = _operation(page, "appendLogs")
    operation.locator(".opblock-section-request-body select").select_option(media_type)
    assert _execute(page, operation).json()["stored"] == 3
    assert get() == [example_log()]


def test_the_docs_show_a_long_answer(visit):
    store_logs(*some_logs(10, *example_log()["actions"] * 200))
    page = visit.open("/docs/")
    operation = _operation(page, "readLogs")
    assert len(_execute(page, operation).json()) == 10


@on_every_screen
def test_the_docs_are_as_dark_as_the_screen_asks(visit):
    page = visit.open("/docs/")
    expect(page.locator(".opblock")).to_have_count(3)
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert (_background(page) < 50) == is_dark
    assert page.locator("html.dark-mode").count() == is_dark
