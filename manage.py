#!/usr/bin/env python
"""The command line of the Logs Store."""

from __future__ import annotations

import os
import sys

try:
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import Error
except ModuleNotFoundError:
    sys.exit("This Python has no Django: run `. .venv/bin/activate` first. Without a .venv, `make setup` makes one.")

from logs import __version__
from logs.lib.database import explain


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "logstore_project.settings")
    if sys.argv[1:] in (["version"], ["--version"]):
        # Django's own command says which Django this is.
        print(__version__)
        return
    try:
        # Django would go on without settings here, and fail later for another reason.
        _ = settings.INSTALLED_APPS
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    except Error as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(explain(error))


if __name__ == "__main__":
    main()
