"""Whether an event is as it is told to be, by the schema that a receiver is given for it."""

import json

import jsonschema_rs

from scaivault.features.events.routes.told import told

SCHEMAS = {sent.name: jsonschema_rs.Draft202012Validator(dict(sent.body), validate_formats=True) for sent in told()}


def faults(event):
    """What of it no receiver could expect. Fields that are not in the table are none, for receivers: here they are."""
    body = json.loads(event) if isinstance(event, (str, bytes)) else event
    kind = body["event_type"]
    properties = {sent.name: sent.body for sent in told()}[kind]["properties"]
    unknown = {*body} - {*properties} | {*body["data"]} - {*properties["data"]["properties"]}
    return [f"{kind}: {name} is not in the table" for name in sorted(unknown)] + [
        f"{kind}: {error.message}" for error in SCHEMAS[kind].iter_errors(body)
    ]
