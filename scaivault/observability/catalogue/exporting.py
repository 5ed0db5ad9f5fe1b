"""The exporter about itself: what it could collect, when, and whether it speaks for the deployment."""

from scaivault.observability.catalogue.series import Kind, Maker, Series
from scaivault.observability.catalogue.vocabulary import COLLECTORS

_EXPORTER = (Maker.EXPORTER,)

EXPORTER_UP = Series(
    "scaivault_exporter_up",
    Kind.GAUGE,
    "1 if the collector's last look succeeded in time and is being told, else 0, as in an exporter that does not lead; "
    "what it saw before is withdrawn once it is three intervals old.",
    {"collector": COLLECTORS},
    made_by=_EXPORTER,
)
EXPORTER_COLLECT_SECONDS = Series(
    "scaivault_exporter_collect_seconds",
    Kind.GAUGE,
    "How long the collector's last look took.",
    {"collector": COLLECTORS},
    "seconds",
    made_by=_EXPORTER,
)
EXPORTER_LAST_SUCCESS = Series(
    "scaivault_exporter_last_success_timestamp_seconds",
    Kind.GAUGE,
    "When the collector last succeeded, 0 if never.",
    {"collector": COLLECTORS},
    "seconds",
    made_by=_EXPORTER,
)
EXPORTER_LEADER = Series(
    "scaivault_exporter_leader",
    Kind.GAUGE,
    "1 in the one exporter that looks at what is a fact about the deployment, 0 in the others.",
    made_by=_EXPORTER,
)

SERIES = (EXPORTER_UP, EXPORTER_COLLECT_SECONDS, EXPORTER_LAST_SUCCESS, EXPORTER_LEADER)
