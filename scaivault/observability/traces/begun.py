"""How a request's first span gets the ids that the edge has read: one truth for logs, audit trail and spans."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags


@dataclass(frozen=True, slots=True)
class Begun:
    """The trace that a request belongs to; `parent_id` is its caller's span."""

    trace_id: int
    parent_id: int | None


_begun: ContextVar[Begun | None] = ContextVar("begun", default=None)


@contextmanager
def beginning(begun: Begun) -> Iterator[None]:
    token = _begun.set(begun)
    try:
        yield
    finally:
        _begun.reset(token)


class Ids(IdGenerator):
    """Random ids; the trace's is the request's where there is one, so that a root span needs no made-up parent."""

    def generate_span_id(self) -> int:
        return int.from_bytes(os.urandom(8)) or 1

    def generate_trace_id(self) -> int:
        begun = _begun.get()
        return begun.trace_id if begun else int.from_bytes(os.urandom(16)) or 1


class Continued(TextMapPropagator):
    """Reads no headers: the edge has. Writes none either: who we call need not know of our callers' traces."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:  # noqa: ANN401, ARG002 - the library's signature
        begun = _begun.get()
        if begun is None or begun.parent_id is None:
            return context or Context()
        caller = SpanContext(
            begun.trace_id, begun.parent_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        )
        return trace.set_span_in_context(NonRecordingSpan(caller), context)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:  # noqa: ANN401 - the library's signature
        """Nothing."""

    @property
    def fields(self) -> set[str]:
        return set()
