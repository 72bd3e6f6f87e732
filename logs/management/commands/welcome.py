"""Greet who starts a new store: make its first user, and say where everything is."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from logs import __version__

USERNAME = "admin"
_SCREEN = """\
Logs Store {version}

  Front page   {url}/
  API          {url}/logs/     described at {url}/docs/
  Admin        {url}/admin/    user {username}, password {password}

The password is shown this once; `python manage.py changepassword {username}` sets another.
For every `python manage.py …` run `. .venv/bin/activate` first, once in a terminal.

{try_it}
"""
_OPEN = """\
Paste this into another terminal to store an action and read it back:

  curl {url}/logs/ -H 'Content-Type: application/json' -d '[{{"userId": "ABC123XYZ", "sessionId": "XYZ456ABC", \
"actions": [{{"time": "2018-10-18T21:37:28-06:00", "type": "VIEW", "properties": {{"viewedId": "FDJKLHSLD"}}}}]}}]'
  curl '{url}/logs/?userId=ABC123XYZ'"""
_KEYS = """\
The API asks for a key: `python manage.py createapikey "Web shop" --scope both` makes one."""


class Command(BaseCommand):
    help = (
        f"Make the first user of the admin, {USERNAME}, with a random password, and say where everything is."
        " Where there is a user already, do and say nothing."
    )

    def handle(self, **options: Any) -> None:
        users = get_user_model()._default_manager
        if users.exists():
            return
        url = f"http://127.0.0.1:{settings.PORT}"
        password = secrets.token_urlsafe(12)
        get_user_model().objects.create_superuser(USERNAME, password=password)
        try_it = (_OPEN if settings.LOGSTORE_AUTH == "open" else _KEYS).format(url=url)
        self.stdout.write(
            _SCREEN.format(version=__version__, url=url, username=USERNAME, password=password, try_it=try_it)
        )
