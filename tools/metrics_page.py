"""docs/operations/metrics.md, written from the catalogue: `make docs`."""

from collections.abc import Iterable, Iterator

from scaivault.observability.catalogue import CATALOGUE
from scaivault.observability.catalogue.series import Bound, Kind, Scope, Series
from scaivault.observability.catalogue.vocabulary import BUCKETS_SECONDS, OTHER_METHOD, OVERFLOW, STATUSES

HEAD = f"""# Metrics

Written from `scaivault/observability/catalogue/` by `make docs`; a test compares them.

`GET /v1/metrics` answers in Prometheus text 0.0.4, or in OpenMetrics 1.0 to who asks for it with `Accept`. On
`OPS_BIND_ADDRESS` it needs no token; on the API it does, unless `METRICS_AUTH=none`. Either answers for all processes
that share a `METRICS_DIR`, whichever of them is asked.

- **Scope.** *pod*: measured in a process; add it up over pods with `sum`. *cluster*: a fact about the deployment,
  published once; read it with `max without (instance, pod)`.
- **Labels.** A closed list has no other value than those named. *at most n* is what one process keeps apart; what is
  beyond it, or not on a closed list, is counted as `{OVERFLOW}` (an unknown method as `{OTHER_METHOD}`) and in
  `scaivault_metric_labels_dropped_total`. No secret, token, path of a secret or client address is a label.
- **Counters** go on when a worker dies or is replaced, whichever way that happens. They begin at zero with a new run of
  the server.
- **Gauges** of a process are gone with it, at the next scrape.
- **Histograms** have the buckets {", ".join(f"{bound:g}" for bound in BUCKETS_SECONDS)} s.
  In OpenMetrics the buckets of `scaivault_request_duration_seconds` lead to the trace of their latest traced request
  (exemplar `trace_id`).
- **Without room** in `METRICS_DIR` requests are served and counted in memory; the log says `metrics_kept_in_memory`,
  and the counts appear when there is room.
"""
TABLE = "| series | type | scope | labels | made by | meaning |\n|---|---|---|---|---|---|\n"
TO_COME = """
## To come

These belong to features of later releases. No process exposes them yet; their names and labels are settled.
"""
MOST_SHOWN = 20


def page() -> str:
    here = [series for series in CATALOGUE if series.is_here]
    to_come = [series for series in CATALOGUE if not series.is_here]
    return f"{HEAD}\n{TABLE}{_rows(here)}{TO_COME}\n{TABLE}{_rows(to_come)}"


def _rows(listed: Iterable[Series]) -> str:
    return "".join(f"| {' | '.join(_cells(series))} |\n" for series in sorted(listed, key=lambda series: series.name))


def _cells(series: Series) -> Iterator[str]:
    yield f"`{series.name}`"
    yield series.kind.value
    yield "cluster" if series.scope is Scope.CLUSTER else "pod"
    yield "<br>".join(f"`{label}`: {_bound(bound)}" for label, bound in series.labels.items()) or "-"
    yield ", ".join(maker.value for maker in series.made_by)
    yield series.help + _remarks(series)


def _bound(bound: Bound) -> str:
    if bound == STATUSES:
        return f"{STATUSES[0]} to {STATUSES[-1]}"
    if isinstance(bound, int):
        return "one" if bound == 1 else f"at most {bound}"
    if len(bound) > MOST_SHOWN:
        return f"{len(bound)} known values"
    return ", ".join(bound)


def _remarks(series: Series) -> str:
    exception = f" (Named against Prometheus's rules: {series.lint_exception}.)" if series.lint_exception else ""
    return f" Unit: {series.unit}.{exception}" if series.unit and series.kind is not Kind.COUNTER else exception


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - the Makefile puts it where it belongs
