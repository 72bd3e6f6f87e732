"""Browsing: the admin's pages. Stored data is read-only here, but for its deletion."""

from __future__ import annotations

from logs.admin.access_records import AccessRecordAdmin
from logs.admin.actions import ActionAdmin
from logs.admin.erasures import ErasedUserAdmin
from logs.admin.logs import LogAdmin

__all__ = ["AccessRecordAdmin", "ActionAdmin", "ErasedUserAdmin", "LogAdmin"]
