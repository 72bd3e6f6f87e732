"""The fixtures of the tests in a real browser: Debian's Chromium, without a head, driven by Playwright.

Skipped where there is no Chromium; with CI=true that is a failure. CHROMIUM names another place of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tests.browser import DESKTOP, Visit

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        reason = "there is no Chromium: apt-get install chromium, or name one in CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    # Playwright keeps an event loop in this thread, in which Django would refuse its synchronous database.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        with sync_playwright() as playwright:
            yield playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
    finally:
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        else:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@pytest.fixture
def visit(request: pytest.FixtureRequest, browser: Browser, live_server: LiveServer) -> Iterator[Visit]:
    """Somebody at a desktop, or as on_every_screen says; afterwards nothing may have gone wrong."""
    context = browser.new_context(**getattr(request, "param", DESKTOP))
    visit = Visit(context.new_page(), live_server.url)
    yield visit
    context.close()
    assert visit.troubles == []
