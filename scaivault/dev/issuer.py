"""What the stand-in for ScaiKey signs, and with what.

Nothing here is shared with `crypto/jwt`, which verifies it: an error that both sides made would go unseen.
"""

import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

from scaivault.dev import processes
from scaivault.dev.plan import PARTNER, TENANT
from scaivault.dev.processes import DevFault

AUDIENCE = "scaivault"
ALGORITHM = "ES256"
CLIENT_ID = "ci-deployer"
CLIENT_SCOPES = ("secrets:list", "secrets:read", "secrets:write")
VAULT_CLIENT_ID = "scaivault"  # the vault's own, which reads the directory and nothing else
VAULT_SCOPES = ("directory:read",)
LIFETIME_SECONDS = 3_600
KEYS_PUBLISHED = 2  # the one that signs and the one before, whose tokens may still be about


class Issuer:
    """One issuer, whose keys and whose clients' secrets are files of a folder, 0600."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self._keys = processes.private_folder(folder / "keys")
        self._secret_files = {CLIENT_ID: folder / "client.secret", VAULT_CLIENT_ID: folder / "vault.secret"}
        if not self._key_files():
            self.rotate()
        for file in self._secret_files.values():
            if not file.exists():
                processes.write_private(file, secrets.token_urlsafe(32) + "\n")

    def client_secret(self, client_id: str) -> str:
        return self._secret_files[client_id].read_text().strip()

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        newest = max((int(file.stem) for file in self._key_files()), default=0)
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        processes.write_private(self._keys / f"{newest + 1:04}.pem", pem.decode())

    def key_set(self) -> dict[str, object]:
        """The JWKS document."""
        return {"keys": [_public(file) for file in self._key_files()[-KEYS_PUBLISHED:]]}

    def discovery(self) -> dict[str, object]:
        """The OpenID configuration."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks.json",
            "token_endpoint": f"{self.url}/oauth/token",
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }

    def knows(self, client_id: str, client_secret: str) -> bool:
        """Whether these are a client's credentials."""
        if client_id not in self._secret_files:
            return False
        return hmac.compare_digest(client_secret.encode(), self.client_secret(client_id).encode())

    def client_token(self, client_id: str, scopes: Sequence[str]) -> str:
        """A token that speaks for the client itself; the vault's own is for here and not for the vault."""
        said: dict[str, Any] = {
            "sub": client_id,
            "client_id": client_id,
            "token_type": "client_credentials",
            "app_scope": "TENANT",
            "scope": " ".join(scopes),
        }
        return self.token(said | {"aud": self.url} if client_id == VAULT_CLIENT_ID else said)

    def may_read_directory(self, token: str) -> bool:
        """Whether the vault's client was given this, and it holds."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            file = next(file for file in self._key_files() if _kid(file) == kid)
            claims = jwt.decode(
                token, _private(file).public_key(), algorithms=[ALGORITHM], audience=self.url, issuer=self.url
            )
        except (jwt.InvalidTokenError, StopIteration):
            return False
        return claims.get("sub") == VAULT_CLIENT_ID and set(VAULT_SCOPES) <= set(str(claims.get("scope")).split())

    def token(self, claims: Mapping[str, Any]) -> str:
        """A token in the development tenant that says `claims` besides, or instead of what it would say."""
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "tenant_id": TENANT,
            "partner_id": PARTNER,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "jti": f"jwt_{secrets.token_hex(16)}",
        }
        file = self._key_files()[-1]
        headers = {"kid": _kid(file)}
        return jwt.encode({**usual, **claims}, _private(file), algorithm=ALGORITHM, headers=headers)

    def _key_files(self) -> list[Path]:
        return sorted(self._keys.glob("*.pem"))


def _kid(file: Path) -> str:
    return f"dev-{file.stem}"


def _private(file: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise DevFault(f"{file} is no key of ours: remove it.")
    return key


def _public(file: Path) -> dict[str, object]:
    numbers = ECAlgorithm.to_jwk(_private(file).public_key(), as_dict=True)
    return {**numbers, "kid": _kid(file), "use": "sig", "alg": ALGORITHM}
