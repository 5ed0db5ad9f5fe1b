"""The address of a secret: refused when malformed, never cleaned."""

import re
from typing import NewType

from scaivault.kernel.errors import InvalidPath

SecretPath = NewType("SecretPath", str)

MAX_PATH_CHARACTERS = 512
MAX_PATH_SEGMENTS = 10
SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_FORM = re.compile(rf"{SEGMENT}(?:/{SEGMENT}){{0,{MAX_PATH_SEGMENTS - 1}}}", re.ASCII)
_PREFIX_FORM = re.compile(rf"(?:{SEGMENT}/){{0,{MAX_PATH_SEGMENTS - 1}}}(?:{SEGMENT})?", re.ASCII)


def parse_path(text: str) -> SecretPath:
    """The very string that came in, or InvalidPath: what is authorised is what is routed and stored."""
    if len(text) > MAX_PATH_CHARACTERS or _FORM.fullmatch(text) is None:
        raise InvalidPath
    return SecretPath(text)


def parse_prefix(text: str) -> str:
    """A beginning of a path, possibly empty, possibly ending inside a segment or at a '/'."""
    if len(text) > MAX_PATH_CHARACTERS or _PREFIX_FORM.fullmatch(text) is None:
        raise InvalidPath("A prefix is the beginning of a path.")
    return text
