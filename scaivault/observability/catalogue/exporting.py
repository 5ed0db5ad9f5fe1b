"""The exporter about itself: what it could collect, when, and whether it speaks for the deployment."""

from scaivault.observability.catalogue.series import TO_COME, Kind, Maker, Series
from scaivault.observability.catalogue.vocabulary import COLLECTORS

_EXPORTER = (Maker.EXPORTER,)

EXPORTER_UP = Series(
    "scaivault_exporter_up",
    Kind.GAUGE,
    "1 if the collector's last look succeeded and is fresh, 0 if its values are withdrawn.",
    {"collector": COLLECTORS},
    made_by=_EXPORTER,
    since=TO_COME,
)
EXPORTER_COLLECT_SECONDS = Series(
    "scaivault_exporter_collect_seconds",
    Kind.GAUGE,
    "How long the collector's last look took.",
    {"collector": COLLECTORS},
    "seconds",
    made_by=_EXPORTER,
    since=TO_COME,
)
EXPORTER_LAST_SUCCESS = Series(
    "scaivault_exporter_last_success_timestamp_seconds",
    Kind.GAUGE,
    "When the collector last succeeded, 0 if never.",
    {"collector": COLLECTORS},
    "seconds",
    made_by=_EXPORTER,
    since=TO_COME,
)
EXPORTER_LEADER = Series(
    "scaivault_exporter_leader",
    Kind.GAUGE,
    "1 in the one exporter that looks at what is a fact about the deployment, 0 in the others.",
    made_by=_EXPORTER,
    since=TO_COME,
)

SERIES = (EXPORTER_UP, EXPORTER_COLLECT_SECONDS, EXPORTER_LAST_SUCCESS, EXPORTER_LEADER)
