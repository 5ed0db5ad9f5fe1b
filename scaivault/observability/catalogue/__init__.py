"""Every series, as data. Instruments are made from these tables; docs, rules and panels are checked against them.

A label's bound is the closed list of its values, or the most values one process will keep apart; whatever is beyond it
is counted as OVERFLOW. No secret, token, path of a secret or client address is ever a label.
"""

from scaivault.observability.catalogue import dependencies, exporting, features, requests
from scaivault.observability.catalogue.series import Kind, Maker, Series
from scaivault.observability.catalogue.vocabulary import OVERFLOW

_BEFORE = (*requests.SERIES, *dependencies.SERIES, *features.SERIES, *exporting.SERIES)

LABELS_DROPPED = Series(
    "scaivault_metric_labels_dropped_total",
    Kind.COUNTER,
    f"Updates counted as {OVERFLOW}, because a label's value was unknown or beyond its cap.",
    {
        "series": tuple(
            series.name
            for series in _BEFORE
            if series.labels and (series.is_counted_by_requests or series.is_counted_by_workers)
        )
    },
    made_by=(Maker.API,),
)

CATALOGUE = (*_BEFORE, LABELS_DROPPED)
