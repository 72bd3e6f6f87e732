"""Greet who starts a new store: make its first user, and say where everything is."""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from logs import NAME, __version__
from logs.api.example import example_log

USERNAME = "admin"
_SCREEN = """\
{name} {version}

  Front page   {url}/
  API          {url}/logs/     described at {url}/docs/
  Admin        {url}/admin/    user {username}, password {password}

The password is shown this once; `python manage.py changepassword {username}` sets another.
For every `python manage.py …` run `. .venv/bin/activate` first, once in a terminal.

{try_it}
"""
_OPEN = """\
Paste this into another terminal to store an action and read it back:

  curl {url}/logs/ -H 'Content-Type: application/json' -d '{batch}'
  curl '{url}/logs/?userId={user_id}'"""
_KEYS = 'The API asks for a key: `python manage.py createapikey "Web shop" --scope both` makes one.'


class Command(BaseCommand):
    help = (
        f"Make the first user of the admin, {USERNAME}, with a random password, and say where everything is."
        " Where there is a user already, do and say nothing."
    )

    def handle(self, **options: Any) -> None:
        users = get_user_model().objects
        if users.exists():
            return
        url = f"http://127.0.0.1:{settings.PORT}"
        try_it = _KEYS
        if settings.LOGSTORE_AUTH == "open":
            log = example_log()
            # Its VIEW alone, to be short.
            batch = json.dumps([{**log, "actions": log["actions"][1:2]}])
            try_it = _OPEN.format(url=url, batch=batch, user_id=log["userId"])
        password = secrets.token_urlsafe(12)
        users.create_superuser(USERNAME, password=password)
        self.stdout.write(
            _SCREEN.format(name=NAME, version=__version__, url=url, username=USERNAME, password=password, try_it=try_it)
        )
