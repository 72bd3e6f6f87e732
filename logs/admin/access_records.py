"""The list of who looked at stored data, took it out or erased it."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from logs.admin.base import ReadOnlyAdmin
from logs.models import AccessRecord


@admin.register(AccessRecord)
class AccessRecordAdmin(ReadOnlyAdmin):
    """Who did what, when and with whose data."""

    columns = ["time", "by", "kind", "user_id", "selection", "count"]
    list_display = [*columns]
    fields = [*columns]
    list_filter = ["kind", "time", "by"]
    ordering = ["-time", "-id"]
    search_fields = ["user_id"]
    search_help_text = "The whole id of a user."
    # It would count all of them.
    show_full_result_count = False
    actions = None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AccessRecord], search_term: str
    ) -> tuple[QuerySet[AccessRecord], bool]:
        return (queryset.filter(user_id=search_term) if search_term else queryset), False
