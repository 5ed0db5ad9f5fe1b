"""The first partner, tenant, identities and policies of a development installation.

Who may sign in is made at the machine, as `scaivault server bootstrap` does it; the policies go in through the API's
front door, as a user's would.
"""

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaivault.bootstrap.api import build
from scaivault.dev import processes
from scaivault.dev.issuer import CLIENT_ID
from scaivault.dev.plan import PARTNER, TENANT
from scaivault.dev.processes import DevFault
from scaivault.features.identity.errors import AlreadyInstalled
from scaivault.features.identity.model import Identity
from scaivault.kernel.caller import Role, Scope
from scaivault.settings import Settings

ADMINISTRATOR = Identity("user:admin@dev.local", "Administrator", roles=frozenset({Role.TENANT_ADMIN}))
READER = Identity("user:reader@dev.local", "Reader", groups=frozenset({"group:readers"}))
READER_SCOPES = frozenset({Scope.SECRETS_READ, Scope.SECRETS_LIST})
POLICIES: Sequence[tuple[str, str, list[str], str, str]] = (
    ("administrators", "**", ["admin"], "user", ADMINISTRATOR.id),
    ("readers", "app/**", ["read", "list"], "group", "group:readers"),
    ("deployers", "app/**", ["read", "write", "list"], "service_account", f"sa:{CLIENT_ID}"),
)
OK, CREATED = 200, 201


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """What the administrator and the reader sign in with. No repr: they are secrets."""

    administrator: str
    reader: str


def ensure(settings: Settings, file: Path) -> Tokens:
    """The tokens in `file` while both still sign in, else new ones; and policies that let them work."""
    tokens = _kept(file)
    if tokens is None or not all(_signs_in(settings, each) for each in (tokens.administrator, tokens.reader)):
        tokens = _issue(settings)
        processes.write_private(file, f"{tokens.administrator}\n{tokens.reader}\n")
    _ensure_policies(settings, tokens.administrator)
    return tokens


def _kept(file: Path) -> Tokens | None:
    lines = file.read_text().split() if file.exists() else []
    return Tokens(*lines) if len(lines) == len(("administrator", "reader")) else None


def _signs_in(settings: Settings, token: str) -> bool:
    status, _ = _call(settings, token, "GET", "/v1/auth/whoami")
    return status == OK


def _issue(settings: Settings) -> Tokens:
    """New tokens, in a new tenant or in yesterday's."""
    services = build(settings)
    services.open()
    try:
        try:
            administrator = services.installer.install(
                "Development", "Development", ADMINISTRATOR, partner_id=PARTNER, tenant_id=TENANT
            ).token
        except AlreadyInstalled:
            administrator = services.installer.add_holder(TENANT, ADMINISTRATOR, frozenset(Scope), "make run")
        reader = services.installer.add_holder(TENANT, READER, READER_SCOPES, "make run")
    finally:
        services.close()
    return Tokens(administrator, reader)


def _ensure_policies(settings: Settings, token: str) -> None:
    listed = _expect(OK, settings, token, "GET", "/v1/policies?include_inactive=true&limit=1000")
    present = {policy["name"] for policy in listed["policies"]}
    for name, pattern, permissions, identity_type, identity_id in POLICIES:
        if name not in present:
            rules = [{"path_pattern": pattern, "permissions": permissions}]
            policy = _expect(CREATED, settings, token, "POST", "/v1/policies", {"name": name, "rules": rules})
            subject = {"identity_type": identity_type, "identity_id": identity_id}
            _expect(CREATED, settings, token, "POST", f"/v1/policies/{policy['id']}/bindings", subject)


def _expect(
    wanted: int, settings: Settings, token: str, method: str, path: str, body: Mapping[str, object] | None = None
) -> Any:  # noqa: ANN401 - JSON
    status, answer = _call(settings, token, method, path, body)
    if status != wanted:
        raise DevFault(f"The seed was refused: {method} {path} answered {status} {json.dumps(answer)}")
    return answer


def _call(
    settings: Settings, token: str, method: str, path: str, body: Mapping[str, object] | None = None
) -> tuple[int, object]:
    """Status and JSON of one request to the API we started."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = _connection(settings)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as failure:
        raise DevFault(f"The API did not answer {method} {path}: {type(failure).__name__}") from None
    finally:
        connection.close()


def _connection(settings: Settings) -> http.client.HTTPConnection:
    address = settings.bind_address.reachable
    if settings.tls_cert_file is None:
        return http.client.HTTPConnection(address.host, address.port, timeout=10)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False  # our own process, on this machine
    trusting.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(address.host, address.port, timeout=10, context=trusting)
