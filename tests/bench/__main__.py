"""`make bench`: the product beside its yardsticks, all of it in one run. Slowness is told, never punished."""

import signal
import sys
import time
from collections.abc import Callable

import click

from scaivault.dev.processes import DevFault
from tests.bench import (
    exporter,
    filling,
    limits,
    machine,
    metrics,
    pressure,
    report,
    rotation,
    rotations,
    scale,
    stage,
    subscriptions,
    throughput,
    tokens,
    traces,
    webhooks,
)
from tests.bench.load import clients
from tests.bench.options import PAGE, Options
from tests.bench.report import Finding
from tests.bench.wire import BenchFault

NOTES = """
All servers run on loopback on the one machine, load generator included, with PostgreSQL's default durability.

The floor (`tests/bench/floor.py`) is a bare Flask application under the API's own gunicorn settings and pool size: one
SELECT and the audit INSERT in one statement, or three INSERTs in one transaction, into the same tables.

Reads and writes: eight clients, each a process with one connection, one request after the other. Floor and API take
turns, round by round; a round's ratio is of neighbours. Every answer is checked, and every round's answers are counted
against the rows that they left in the audit trail.

Reads with a JSON web token take turns with the same reads by the same identity with a personal token; both tokens have
been seen before.

Memory of tokens: one connection, and so one worker, shows tokens that differ in their `jti` only.

Reads with rate limits take turns with the same reads of an API whose buckets nobody counts; reads with traces with those
of an API that has no collector; reads while `/v1/metrics` is scraped every second with the same reads unscraped.

Reads take turns in quiet and beside a hundred polls that wait, each on a connection of its own.

Rotations of secrets: one worker, values of a secret policy, nobody listening; then so many fall due at once, and
deliveries of what is written meanwhile are timed.

The exporter's looks: databases of their own, filled by `generate_series`, looked at in turns; medians.

Renewing keys: a tenant's key is renewed with so many data keys under it, alone, from the new version to the proof. Then the
eight clients read, in turns in quiet and while the key is renewed once more on the same two cores.

Probes: a side session holds a row and writes to it occupy every request thread (PostgreSQL is asked whether they wait,
and the public port that it is silent). Then `/v1/health` is asked, each time on a new connection.

Lists and audit queries: two tenants of one database, filled by `generate_series`. One client asks both in turns on one
connection; medians. Both answers have the same number of rows. The trail spans 75 days.
"""


def run() -> int:
    """0 when all was measured, however slow; 1 when something is broken."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = Options.from_env()
    say = _narrator()
    try:
        with stage.raised() as house:
            say("servers are up")
            facts = machine.describe(house.superuser_url, house.plan.folder)
            findings = _measure(house, options, say)
    except (BenchFault, DevFault) as fault:
        click.echo(f"Broken: {fault}", err=True)
        return 1
    facts = {**facts, "size": _size(options)}
    click.echo(f"\n{report.table(findings)}\n")
    for name, fact in facts.items():
        click.echo(f"{name}: {fact}")
    missed = [finding.what for finding in findings if not finding.is_met]
    click.echo(f"\n{len(missed)} of {len(findings)} figures miss their bar." if missed else "\nEvery bar is met.")
    if options.is_to_write:
        PAGE.write_text(report.page(findings, facts, NOTES))
        click.echo(f"Written to {PAGE}.")
    return 0


def _measure(house: stage.Stage, options: Options, say: Callable[[str], None]) -> list[Finding]:
    with clients(options.clients) as load:
        findings = throughput.reads(house, load, options, say)
        findings += throughput.web_tokens(house, load, options, say)
        findings += tokens.memory(house, load, say)
        findings.append(tokens.key_service(house, load, options))
        findings += throughput.writes(house, load, options, say)
        findings += limits.reads(house, load, options, say)
        findings += traces.tracing(house, load, options, say)
        findings += metrics.costs(house, load, options, say)
        findings += subscriptions.subscriptions(house, load, options, say)
        findings.append(exporter.writes(house, options, say))
        findings += rotation.rotations(house, load, options, say)
    findings.append(pressure.probes(house, say))
    findings += webhooks.webhooks(house, say)
    findings += rotations.rotations(house, say)
    filling.fill(house, options, say)
    findings.append(webhooks.idle(house, say))
    findings += scale.questions(house, options, say)
    findings += exporter.looks(house, options, say)
    findings.append(pressure.weight(house))
    return findings


def _size(options: Options) -> str:
    what = f"{options.secrets:,} secrets, {options.audit_rows:,} audit rows, {options.rounds} rounds of {options.seconds:g} s"
    return what if options.is_full_size else f"{what}: a quick run, which proves nothing"


def _narrator() -> Callable[[str], None]:
    began = time.monotonic()
    return lambda what: click.echo(f"[{time.monotonic() - began:5.1f} s] {what}")


if __name__ == "__main__":
    sys.exit(run())
