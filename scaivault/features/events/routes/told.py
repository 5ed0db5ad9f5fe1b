"""What receivers are sent, for the OpenAPI document: made from the table of what is told."""

from collections.abc import Iterable, Mapping
from typing import Final

from scaivault.edge.routes import Sent
from scaivault.features.events.model.told import ENVELOPE, HEADERS, TOLD, WITHOUT_A_PATH, Form, Part, envelope_of

Schema = Mapping[str, object]

_FORMS: Final[Mapping[Form, Schema]] = {
    Form.TEXT: {"type": "string"},
    Form.NUMBER: {"type": "integer"},
    Form.TRUTH: {"type": "boolean"},
    Form.INSTANT: {"type": "string", "format": "date-time"},
    Form.TEXTS: {"type": "array", "items": {"type": "string"}},
    Form.NUMBERS: {"type": "array", "items": {"type": "integer"}},
}
_NULL: Final[Schema] = {"type": "null"}


def told() -> Iterable[Sent]:
    """One for each event that this release tells."""
    headers = {header.name: (header.says, header.is_always_sent) for header in HEADERS}
    for event_type in TOLD:
        yield Sent(event_type, TOLD[event_type].happened, headers, _schema(event_type))


def _schema(event_type: str) -> Schema:
    telling = TOLD[event_type]
    parts = {**telling.always, **telling.sometimes}
    data = {
        "type": "object",
        "description": ENVELOPE["data"],
        "required": list(telling.always),
        "properties": {name: _form(part) for name, part in parts.items()},
    }
    fields: dict[str, Schema] = {name: {"type": "string", "description": says} for name, says in ENVELOPE.items()}
    fields["event_type"] = {"const": event_type}
    fields["timestamp"] = {**_FORMS[Form.INSTANT], "description": ENVELOPE["timestamp"]}
    fields["data"] = data
    if event_type in WITHOUT_A_PATH:
        del fields["path"]
    return {"type": "object", "required": list(envelope_of(event_type)), "properties": fields}


def _form(part: Part) -> Schema:
    return {"anyOf": [_FORMS[part.form], _NULL]} if part.may_be_null else _FORMS[part.form]
