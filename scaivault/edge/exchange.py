"""What the edge knows of the request that this thread is serving."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import g

from scaivault.kernel.caller import Caller, Origin


@dataclass(slots=True)
class Exchange:
    """One request and its answer. `status` is what it would be if nothing more came of it."""

    origin: Origin
    category: str
    caller: Caller | None = None
    status: int = 500
    error: str | None = None
    cause: BaseException | None = None
    """Of an answer that is our failure: what another system said, or did not say."""
    limit_headers: Mapping[str, str] = field(default_factory=dict)
    waited_seconds: float = 0.0
    """For something to happen, with nothing to do: no part of how long the answer took us."""
    span_id: str | None = None
    """Of the request's span, if its trace is kept."""


def current() -> Exchange:
    """The exchange that `before_request` began."""
    exchange: Exchange = g.exchange
    return exchange
