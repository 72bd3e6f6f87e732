"""What the properties of each type of action must hold, as serializers, and the JSON text of them that is stored."""

from __future__ import annotations

import json
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from logs.api.bodies import SMALL_BYTES
from logs.api.fields import StrictNumber, StrictString, detail_of, of_type, refusal
from logs.api.violations import Detail
from logs.lib import jsontext
from logs.lib.errors import ErrorCode
from logs.lib.limits import MAX_PROPERTIES_BYTES, MAX_TEXT_LENGTH
from logs.models import ActionType


class ClickProperties(serializers.Serializer[Any]):
    """What the properties of a CLICK must hold."""

    locationX = StrictNumber(missing=ErrorCode.MISSING_LOCATION_X_VALUE, invalid=ErrorCode.INVALID_LOCATION_X_VALUE)
    locationY = StrictNumber(missing=ErrorCode.MISSING_LOCATION_Y_VALUE, invalid=ErrorCode.INVALID_LOCATION_Y_VALUE)


class ViewProperties(serializers.Serializer[Any]):
    """What the properties of a VIEW must hold."""

    viewedId = StrictString(
        missing=ErrorCode.MISSING_VIEWEDID_VALUE, invalid=ErrorCode.INVALID_VIEWEDID_VALUE, max_length=MAX_TEXT_LENGTH
    )


class NavigateProperties(serializers.Serializer[Any]):
    """What the properties of a NAVIGATE must hold."""

    pageFrom = StrictString(
        missing=ErrorCode.MISSING_PAGEFROM_VALUE, invalid=ErrorCode.INVALID_PAGEFROM_VALUE, max_length=MAX_TEXT_LENGTH
    )
    pageTo = StrictString(
        missing=ErrorCode.MISSING_PAGETO_VALUE, invalid=ErrorCode.INVALID_PAGETO_VALUE, max_length=MAX_TEXT_LENGTH
    )


PROPERTIES_BY_TYPE: dict[str, type[serializers.Serializer[Any]]] = {
    ActionType.CLICK: ClickProperties,
    ActionType.VIEW: ViewProperties,
    ActionType.NAVIGATE: NavigateProperties,
}
_fields_by_type = {action_type: dict(properties().fields) for action_type, properties in PROPERTIES_BY_TYPE.items()}


def read_properties(action_type: str, properties: object) -> str:
    """Return the JSON text of an action's properties, compact and with each number as it came.

    action_type: one of ActionType.
    properties: a decoded JSON value.
    Raises ValidationError with DRF's nested errors: both members of a pair, otherwise the first rule that is broken.
    """
    if not isinstance(properties, dict):
        raise refusal(of_type(properties, ErrorCode.INVALID_PROPERTIES))
    try:
        text = jsontext.encode(properties)
    except (TypeError, ValueError, RecursionError):
        # A value of Python's that JSON has no text for.
        raise refusal(ErrorCode.INVALID_PROPERTIES) from None
    if _is_too_large(text):
        raise refusal(ErrorCode.INVALID_PROPERTIES)
    errors: dict[str, Detail] = {}
    for name, field in _fields_by_type[action_type].items():
        try:
            field.run_validation(properties.get(name))
        except ValidationError as error:
            errors[name] = error.detail
    if errors:
        raise ValidationError(errors)
    # What looks like U+0000 in the text may be an escaped backslash before a u: then no place is found.
    if "\\u0000" in text or jsontext.has_forbidden_character(text):
        for place in jsontext.forbidden_places(properties):
            detail: Detail = [detail_of(ErrorCode.INVALID_CHARACTER)]
            for token in reversed(place):
                detail = {token: detail}
            raise ValidationError(detail)
    return text


class PropertiesField(serializers.DictField):
    """The properties of an action: checked by its type, in ActionSerializer; given back as a dict."""

    def to_representation(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value


def read_other_properties(action_type: str, text: bytes) -> str:
    """Return what read_properties() does of properties that are still a JSON text. Raises ValueError for no JSON."""
    if len(text) > SMALL_BYTES:
        # Decoded, it may take many times as much memory.
        raise refusal(ErrorCode.INVALID_PROPERTIES)
    return read_properties(action_type, jsontext.decode(text.decode()))


def _is_too_large(text: str) -> bool:
    # Four bytes a character at the most: short texts need no second look.
    return len(text) > MAX_PROPERTIES_BYTES // 4 and len(text.encode(errors="surrogatepass")) > MAX_PROPERTIES_BYTES
