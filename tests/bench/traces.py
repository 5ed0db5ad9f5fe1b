"""What tracing costs a read: the same API with a collector, in turns with the one that has none."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from statistics import median

from scaivault.dev import api, processes
from scaivault.dev.plan import LOOPBACK, make_folders
from scaivault.settings import Settings
from tests.bench.load import Clients, Outcome
from tests.bench.options import Options
from tests.bench.report import Finding
from tests.bench.stage import TENANT, Stage
from tests.bench.throughput import Say, Side, in_turns, put_secrets, read_of
from tests.bench.wire import BenchFault
from tests.otlp import collecting

# The bar is for one in a hundred. The others are told: the default, and a trace of every request.
BARS = {0.01: 0.9, 0.1: None, 1.0: None}
NONE = "no collector"


def tracing(stage: Stage, clients: Clients, options: Options, say: Say) -> list[Finding]:
    """Reads without a collector and with one on this machine, at each share of traces kept."""
    paths = put_secrets(stage, clients, "traced")
    reads = [read_of(stage.tokens.deployer, path, b'"username":"billing"') for path in paths]
    with ExitStack() as stack:
        sides = {NONE: Side(stage.plan.port, reads, TENANT, "read")}
        collectors = {share: stack.enter_context(collecting()) for share in BARS}
        for share, collector in collectors.items():
            port = stack.enter_context(_traced(stage, collector.url, share))
            sides[f"{share:.0%} kept"] = Side(port, reads, TENANT, "read")
        outcomes = in_turns(stage, clients, sides, options, say)
    if not all(collector.spans for collector in collectors.values()):
        raise BenchFault("No span has arrived: nothing is proven")
    return [_finding(outcomes, share, bar) for share, bar in BARS.items()]


def _finding(outcomes: Mapping[str, list[Outcome]], share: float, bar: float | None) -> Finding:
    traced, untraced = ([each.rate for each in outcomes[name]] for name in (f"{share:.0%} kept", NONE))
    ratios = [its / theirs for its, theirs in zip(traced, untraced, strict=True)]
    what, beside = f"audited read, {share:.0%} of traces kept, 8 clients", f"{NONE} {median(untraced):,.0f}/s"
    return Finding(what, f"{median(traced):,.0f}/s", beside, ratios, bar, is_throughput=True)


@contextmanager
def _traced(stage: Stage, url: str, share: float) -> Iterator[int]:
    """The same API once more, with a collector; its port."""
    folder = processes.private_folder(stage.plan.folder / f"traced-{share}")
    plan = replace(
        stage.plan,
        folder=folder,
        port=processes.kept_port(folder / "api.port"),
        ops_port=processes.kept_port(folder / "ops.port"),
    )
    make_folders(plan)
    own = {
        "BIND_ADDRESS": f"{LOOPBACK}:{plan.port}",
        "OPS_BIND_ADDRESS": f"{LOOPBACK}:{plan.ops_port}",
        "METRICS_DIR": str(folder / "metrics"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "TRACES_SAMPLE_RATIO": str(share),
    }
    environ = {**stage.environ, **own}
    settings = Settings.from_env(environ)
    server = api.start(plan, environ, settings)
    try:
        api.await_ready(server, plan, settings)
        yield plan.port
    finally:
        server.stop()
