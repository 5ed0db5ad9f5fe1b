"""The directory of the stand-in for ScaiKey: a handful of people, in pages as ADR 12 has them."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from scaivault.dev.plan import PARTNER, TENANT

PREFIX = "/api/v1/"
MOST_ON_A_PAGE = 100
Item = Mapping[str, object]
_PARTNER = f"prt_{PARTNER.removeprefix('ptn_')}"
_PARTNERS: Sequence[Item] = ({"id": _PARTNER, "name": "Development"},)
_TENANTS: Sequence[Item] = ({"id": TENANT, "partner_id": _PARTNER, "name": "Development"},)
_USERS: Sequence[Item] = (
    {"id": "usr_alice", "email": "alice@dev.local", "display_name": "Alice", "mfa_enabled": True},
    {"id": "usr_bob", "email": "bob@dev.local", "display_name": "Bob"},
    {"id": "usr_carol", "email": "carol@dev.local", "display_name": "Carol", "status": "SUSPENDED"},
)
_GROUPS: Sequence[Item] = ({"id": "grp_readers", "name": "readers"},)
_MEMBERS: Sequence[Item] = ({"user_id": "usr_alice", "membership_type": "DIRECT"},)


_LISTINGS: Mapping[str, Sequence[Item]] = {
    "partners": _PARTNERS,
    "tenants": _TENANTS,
    f"tenants/{TENANT}/users": _USERS,
    f"tenants/{TENANT}/groups": _GROUPS,
    "groups/grp_readers/members": _MEMBERS,
}


def answer(target: str) -> Item | None:
    """What a GET of this target is answered with; None if nothing is there."""
    parts = urlsplit(target)
    query = {name: texts[-1] for name, texts in parse_qs(parts.query).items()}
    path = parts.path.removeprefix(PREFIX)
    if path == f"tenants/{TENANT}":
        return _TENANTS[0]
    listing = _LISTINGS.get(path)
    if listing is None:
        return None
    wanted = query.get("partner_id", _PARTNER)
    return _page([each for each in listing if each.get("partner_id", wanted) == wanted], query)


def _page(items: Sequence[Item], query: Mapping[str, str]) -> Item | None:
    page, size = query.get("page", "1"), query.get("page_size", str(MOST_ON_A_PAGE))
    if not (page.isdecimal() and size.isdecimal() and int(page) >= 1 and 1 <= int(size) <= MOST_ON_A_PAGE):
        return None
    start = (int(page) - 1) * int(size)
    return {"items": list(items[start : start + int(size)]), "total": len(items), "page": int(page)}
