"""Base64url with one spelling for every value."""

import base64
import re

_FORM = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def decode(text: str) -> bytes:
    """What `text` says, or ValueError: no padding, no white space, no other alphabet, no bits left over."""
    if _FORM.fullmatch(text) is None:
        raise ValueError("not base64url")
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # The last character has bits that no byte takes. Ignored, they would give every signature several spellings.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != text.encode():
        raise ValueError("not the canonical spelling")
    return decoded
