"""Who holds a root key, as settings say it and as the key services are made from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Provider = Literal["local", "aws", "pkcs11"]


@dataclass(frozen=True, slots=True)
class RootKey:
    """Who holds a root key and how to reach it; what the provider does not need is None."""

    provider: Provider
    local_key_file: Path | None
    key_id: str | None
    signing_key_id: str | None
    endpoint_url: str | None
    pkcs11_library: Path | None
    pkcs11_token_label: str | None
    pkcs11_pin_file: Path | None
    pkcs11_key_label: str | None
