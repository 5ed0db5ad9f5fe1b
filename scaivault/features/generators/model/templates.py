"""Templates: text with placeholders in it. Data, not a language: there is nothing to evaluate."""

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_PLACEHOLDERS = 16
MAX_PLACEHOLDER_LENGTH = 256

_OPENING = "{{"
_PLACEHOLDER = re.compile(r"\{\{(?:(random|hex):([1-9][0-9]{0,2})|(uuid|timestamp))\}\}", re.ASCII)


class Filling(StrEnum):
    """What a placeholder becomes."""

    RANDOM = "random"
    HEX = "hex"
    UUID = "uuid"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`length` counts for random and hex alone."""

    filling: Filling
    length: int = 0


def pieces(template: str) -> tuple[str | Placeholder, ...]:
    """The template in order: literal texts and placeholders. ValueError, which quotes nothing, if it has no meaning.

    Read once, from the left: every `{{` opens a placeholder, whole and exactly as documented, or is a fault. Single
    braces and a stray `}}` are text, as in JSON.
    """
    found: list[str | Placeholder] = []
    position = count = 0
    while (start := template.find(_OPENING, position)) >= 0:
        match = _PLACEHOLDER.match(template, start)
        placeholder = None if match is None else _placeholder(match)
        if match is None or placeholder is None:
            raise ValueError(
                f"what begins at character {start + 1} is no placeholder: those are {{{{random:N}}}}, {{{{hex:N}}}}, "
                f"{{{{uuid}}}} and {{{{timestamp}}}}, with N from 1 to {MAX_PLACEHOLDER_LENGTH}"
            )
        found += [template[position:start], placeholder]
        position = match.end()
        count += 1
    if not 1 <= count <= MAX_PLACEHOLDERS:
        raise ValueError(f"a template has 1 to {MAX_PLACEHOLDERS} placeholders; a text without any is for `static`")
    return (*found, template[position:])


def _placeholder(match: re.Match[str]) -> Placeholder | None:
    if match[3] is not None:
        return Placeholder(Filling(match[3]))
    length = int(match[2])
    return Placeholder(Filling(match[1]), length) if length <= MAX_PLACEHOLDER_LENGTH else None
