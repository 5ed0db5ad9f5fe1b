"""What a span says of a statement: its text, which is a literal with placeholders, and a name for it."""

import re
from collections.abc import Mapping
from functools import lru_cache

MOST_CHARACTERS = 2_000
MOST_STATEMENTS = 512
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+([a-z_]+)")


@lru_cache(MOST_STATEMENTS)
def summary(query: str) -> str:
    """The verb and the first table that is named: `SELECT tokens`, `INSERT audit_log`, `COMMIT`."""
    verb = _verb(query)
    table = _TABLE.search(query)
    return f"{verb} {table[1]}" if table else verb


@lru_cache(MOST_STATEMENTS)
def attributes(query: str) -> Mapping[str, str]:
    """What semantic conventions call these."""
    text = " ".join(query.split())[:MOST_CHARACTERS]
    return {"db.system.name": "postgresql", "db.operation.name": _verb(query), "db.query.text": text}


def _verb(query: str) -> str:
    words = query.split(maxsplit=1)
    return words[0] if words else ""
