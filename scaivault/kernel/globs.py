"""Patterns over paths: `?`, `*` and `**`, anchored at both ends. Refused when malformed, never cleaned.

?    one character but '/'
*    any run inside one segment; at least one character when it is the whole segment
**   alone in a segment: in the middle zero or more segments, at either end one or more
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from scaivault.kernel.errors import InvalidGlob
from scaivault.kernel.paths import MAX_PATH_CHARACTERS, MAX_PATH_SEGMENTS

MAX_STARS = 16
COMPILED_PATTERNS = 4_096

_SEGMENT = re.compile(r"[A-Za-z0-9_*?-][A-Za-z0-9._*?-]*", re.ASCII)
_WILDCARD = re.compile(r"[*?]")
_SEVERAL = r"[^/]+(?:/[^/]+)*"


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern that is known to be well formed. Make one with `parse`."""

    text: str
    literal_prefix: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> "Glob":
        """The pattern, or InvalidGlob saying what is wrong with it."""
        _check(text)
        wildcard = _WILDCARD.search(text)
        return cls(text, text[: wildcard.start()] if wildcard else text)

    def matches(self, path: str) -> bool:
        """Whether the whole path fits. Takes time linear in the path's length for each of at most 16 stars."""
        if not path.startswith(self.literal_prefix):
            return False
        if self.literal_prefix == self.text:
            return path == self.text
        return _compiled(self.text).fullmatch(path) is not None

    def __str__(self) -> str:
        return self.text


def disjoint_prefixes(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The same places with none named twice: sorted, and no prefix begins with another one."""
    kept: list[str] = []
    for prefix in sorted(prefixes):
        # In sorted order whatever covers a prefix comes before it, and everything between the two is covered too.
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def _check(text: str) -> None:
    if not text:
        raise InvalidGlob("The pattern is empty.")
    if len(text) > MAX_PATH_CHARACTERS:
        raise InvalidGlob(f"A pattern has at most {MAX_PATH_CHARACTERS} characters.")
    if text.startswith("/") or text.endswith("/"):
        raise InvalidGlob("A pattern neither begins nor ends with '/'.")
    segments = text.split("/")
    if len(segments) > MAX_PATH_SEGMENTS:
        raise InvalidGlob(f"A pattern has at most {MAX_PATH_SEGMENTS} segments.")
    if text.count("*") - text.count("**") > MAX_STARS:
        raise InvalidGlob(f"A pattern has at most {MAX_STARS} stars.")
    for segment in segments:
        _check_segment(segment)


def _check_segment(segment: str) -> None:
    if not segment:
        raise InvalidGlob("A pattern has no empty segments: '//' matches nothing.")
    if segment.startswith("."):
        raise InvalidGlob("No segment of a path begins with '.': the pattern would match nothing.")
    if "**" in segment and segment != "**":
        raise InvalidGlob("'**' stands alone between slashes.")
    if _SEGMENT.fullmatch(segment) is None:
        raise InvalidGlob("A pattern is made of letters, digits, '_', '-', '.', '/', '*' and '?'.")


# Compiling costs a hundred times what parsing does, and most patterns are never asked beyond their literal prefix:
# so it is done when first needed, and shared by whoever holds the same text.
@lru_cache(COMPILED_PATTERNS)
def _compiled(text: str) -> re.Pattern[str]:
    """The pattern as a regular expression that can not backtrack across a star.

    Between two stars stands a piece of fixed width (of fixed segments, between two '**'). If the rest can match
    after a later occurrence of the piece it can after the first one, because the second star takes up the
    difference. So the first occurrence decides, the group around it is atomic, and nothing is tried twice.
    """
    first, *runs = _runs(text.split("/"))
    if not runs:
        return re.compile(_segments(first))
    *middle, last = runs
    # Where the pattern begins with `**` that one takes a segment at least, every other one may take none.
    leaps = [r"(?:[^/]+/)*" if first else r"(?:[^/]+/)+", *[r"(?:[^/]+/)*"] * len(middle)]
    form = [_segments(first) + "/" if first else ""]
    form += [f"(?>{leap}?{_segments(run)}{'/' if run else ''})" for leap, run in zip(leaps, middle, strict=False)]
    form += [leaps[-1], _segments(last)] if last else [_SEVERAL]
    return re.compile("".join(form))


def _runs(segments: list[str]) -> list[list[str]]:
    """The segments between one `**` and the next; empty lists where it stands at an end or beside another."""
    runs: list[list[str]] = [[]]
    for segment in segments:
        if segment == "**":
            runs.append([])
        else:
            runs[-1].append(segment)
    return runs


def _segments(run: list[str]) -> str:
    return "/".join(_segment(segment) for segment in run)


def _segment(segment: str) -> str:
    if segment == "*":
        return "[^/]+"
    first, *rest = (_piece(piece) for piece in segment.split("*"))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(rf"(?>[^/]*?{piece})" for piece in middle) + rf"[^/]*{last}"


def _piece(text: str) -> str:
    return re.escape(text).replace(r"\?", "[^/]")
