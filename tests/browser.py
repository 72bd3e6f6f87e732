"""Who looks at our pages in a real browser, and what goes wrong meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import ConsoleMessage, Page

DESKTOP = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
on_every_screen = pytest.mark.parametrize("visit", [DESKTOP, PHONE], ids=["desktop-light", "phone-dark"], indirect=True)


@dataclass
class Visit:
    """A page of the live server, and what went wrong while it was shown."""

    page: Page
    server: str
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.page.on("request", lambda request: self._note_host(request.url))

    def open(self, path: str) -> Page:
        self.page.goto(self.server + path)
        return self.page

    def _note_message(self, message: ConsoleMessage) -> None:
        self.troubles.append(f"console: {message.text}")

    def _note_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != urlsplit(self.server).netloc:
            self.troubles.append(f"request: {url}")


def log_in(visit: Visit, username: str) -> Page:
    """Go on as a user of the store, without the form."""
    client = Client()
    client.force_login(User.objects.get(username=username))
    key = str(client.session.session_key)
    visit.page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": key, "url": visit.server}])
    return visit.page


def has_no_sideways_scroll(page: Page) -> bool:
    return bool(page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"))
