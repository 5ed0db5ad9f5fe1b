"""What the audit tests share: a caller, a clock that moves when told, a guard that keeps count."""

import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from scaivault.kernel.caller import Caller, IdentityType, Origin, Principal, Scope
from scaivault.kernel.errors import InsufficientScope


class HandClock:
    def __init__(self, instant=None):
        self.instant = instant or datetime.now(UTC)  # noqa: TID251 - entries need a month that exists

    def now(self):
        return self.instant

    def forward(self, **span):
        self.instant += timedelta(**span)


class ScopeGuard:
    """Allows what the token's scopes say and notes what it was asked."""

    def __init__(self):
        self.asked = []

    def require_scope(self, caller, scope):
        self.asked.append(scope)
        if scope not in caller.principal.scopes:
            raise InsufficientScope


def caller(
    tenant_id="tnt_dev",
    identity_id="sa:billing",
    identity_type=IdentityType.SERVICE_ACCOUNT,
    source_ip="10.0.0.7",
    user_agent="scaivault-python/1.0",
    request_id="req_1",
    scopes=(Scope.AUDIT_READ,),
):
    principal = Principal(
        token_id="tok_1",
        partner_id="ptn_dev",
        tenant_id=tenant_id,
        identity_id=identity_id,
        identity_type=identity_type,
        display_name="Billing",
        scopes=frozenset(scopes),
        groups=frozenset(),
        roles=frozenset(),
        token_expires_at=datetime(2040, 1, 1, tzinfo=UTC),
    )
    return Caller(principal, Origin(ip_address(source_ip), user_agent, request_id, "a" * 32, time.perf_counter()))
