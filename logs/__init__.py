"""Logs Store: logs of what users did, over HTTP, in the admin and at the command line."""

NAME = "Logs Store"
__version__ = "1.0.0"
