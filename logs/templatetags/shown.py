"""How templates show what users sent."""

from __future__ import annotations

from django import template
from django.utils.html import format_html

from logs.lib.text import shortened, visible

register = template.Library()


@register.filter
def shown(text: str, length: int = 120) -> str:
    """Return a text as HTML that changes nothing around it: isolated, its controls visible, whole on hover.

    length: how many characters of a longer one are left, of its beginning and its end.
    """
    whole, short = visible(text), visible(shortened(text, length))
    return (
        format_html('<bdi title="{}">{}</bdi>', whole, short) if short != text else format_html("<bdi>{}</bdi>", text)
    )
