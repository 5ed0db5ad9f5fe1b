"""What makes spans, where there is a collector to send them to."""

from typing import TYPE_CHECKING

from scaivault.bootstrap.base import VERSION
from scaivault.observability import logs
from scaivault.outbound.sessions import plain_session
from scaivault.settings import Settings

if TYPE_CHECKING:
    from scaivault.observability.traces.tracing import Tracing


def tracing_of(settings: Settings) -> "Tracing | None":
    """What makes spans, where there is a collector to send them to. Nothing is loaded for it where there is none."""
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        return None
    from scaivault.observability.traces.sampling import Sampling  # noqa: PLC0415 - as the next
    from scaivault.observability.traces.tracing import (  # noqa: PLC0415 - the SDK costs a start 0.1 s and 8 MB
        Collector,
        Service,
        Tracing,
    )

    return Tracing(
        Service(settings.otel_service_name, VERSION),
        Collector(endpoint, settings.otlp_headers, settings.otel_exporter_otlp_certificate),
        Sampling(settings.traces_sample_ratio),
        plain_session,
        logs.logger("scaivault.traces"),
    )
