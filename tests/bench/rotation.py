"""A tenant's key renewed: how fast by itself, and what readers notice of it."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import psycopg

from scaivault.bootstrap.api import build
from scaivault.crypto.envelope import Envelope, Place
from scaivault.kernel.plaintext import Plaintext
from tests.bench.load import Clients, Outcome, percentile
from tests.bench.options import Options
from tests.bench.report import Finding
from tests.bench.stage import PARTNER, TENANT, Stage
from tests.bench.throughput import WARM_SECONDS, put_secrets, read_of
from tests.bench.wire import BenchFault

KEYS_A_SECOND = 20_000
ROUNDS = 3
VALUE = Plaintext(b'{"username":"billing","password":"correct-horse-battery-staple"}')
ADD_SECRETS = """
    INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at, updated_at)
    SELECT %s, path, 'kv', 1, '{}', 10, now(), now() FROM unnest(%s::text[]) AS path
"""
PROOF = re.compile(r"Wrapped anew: ([0-9,]+)\. Left under [^:]+: ([0-9,]+)\.")
Say = Callable[[str], None]


def rotations(stage: Stage, clients: Clients, options: Options, say: Say) -> list[Finding]:
    """Alone, and then under the reads of eight clients, in turns with the same reads in quiet."""
    _fill(stage, options.data_keys, say)
    alone = [_rotated(stage, options, say) for _ in range(ROUNDS)]
    quiet, busy = _in_turns(stage, clients, options, say)
    ratios = [_p99(during) / _p99(before) for before, during in zip(quiet, busy, strict=True)]
    return [
        Finding(
            f"data keys wrapped anew; {options.data_keys:,} of a tenant",
            f"{median(alone):,.0f}/s",
            f"{KEYS_A_SECOND:,}/s",
            [rate / KEYS_A_SECOND for rate in alone],
            bar=1,
            is_throughput=True,
        ),
        Finding(
            "p99 of a read meanwhile, 8 clients",
            f"{median(map(_p99, busy)) * 1_000:.1f} ms",
            f"quiet {median(map(_p99, quiet)) * 1_000:.1f} ms",
            ratios,
            bar=2,
        ),
    ]


def _in_turns(stage: Stage, clients: Clients, options: Options, say: Say) -> tuple[list[Outcome], list[Outcome]]:
    """Rounds of reads in quiet, and during a rotation."""
    paths = put_secrets(stage, clients, "meanwhile")
    reads = [read_of(stage.tokens.deployer, path, b'"username":"billing"') for path in paths]
    clients.run(stage.plan.port, reads, WARM_SECONDS)
    quiet, busy = [], []
    for _ in range(ROUNDS):
        quiet.append(clients.run(stage.plan.port, reads, options.seconds))
        with _rotating(stage):
            busy.append(clients.run(stage.plan.port, reads, options.seconds))
        say(f"reads {quiet[-1].rate:,.0f}/s in quiet, {busy[-1].rate:,.0f}/s during a rotation")
    return quiet, busy


def _fill(stage: Stage, number: int, say: Say) -> None:
    """So many sealed versions, as the product would have written them."""
    services = build(stage.settings)
    services.open()
    keys = services.rotation._ring.for_tenant(PARTNER, TENANT)
    services.close()
    paths = [f"bulk/team-{each // 100:05}/secret-{each % 100:02}" for each in range(number)]
    columns = "tenant_id, path, version, sealed, wrapped_key, created_at, created_by"
    with psycopg.connect(stage.superuser_url, autocommit=True) as session:
        session.execute(ADD_SECRETS, [TENANT, paths])
        with session.cursor() as cursor, cursor.copy(f"COPY secret_versions ({columns}) FROM STDIN") as copy:
            for path in paths:
                sealed = Envelope.seal(keys, Place(PARTNER, TENANT, path, 1), VALUE)
                copy.write_row((TENANT, path, 1, sealed.sealed, sealed.wrapped_key, "2026-01-01", "user:bench"))
        session.execute("VACUUM ANALYZE secrets, secret_versions")
        session.execute("CHECKPOINT")
    say(f"{number:,} sealed versions")


def _rotated(stage: Stage, options: Options, say: Say) -> float:
    """Data keys a second, the command's start and the proof included."""
    began = time.perf_counter()
    rate = _checked(_started(stage), options.data_keys) / (time.perf_counter() - began)
    say(f"a tenant's key renewed: {rate:,.0f} data keys a second")
    return rate


@contextmanager
def _rotating(stage: Stage) -> Iterator[None]:
    """A rotation for as long as the block; BenchFault if it was over before."""
    with psycopg.connect(stage.database.url(), autocommit=True) as session:
        command = _started(stage)
        try:
            while session.execute("SELECT count(*) FROM tenant_keys WHERE tenant_id = %s", [TENANT]).fetchone()[0] < 2:
                if command.poll() is not None:
                    break
                time.sleep(0.02)
            yield
            is_over = command.poll() is not None
        finally:
            command.wait()
    if is_over:
        raise BenchFault("The rotation was over before the reads were: take more BENCH_DATA_KEYS or less BENCH_SECONDS")
    _checked(command, 1)


def _started(stage: Stage) -> subprocess.Popen[str]:
    """The operator's command."""
    command = [sys.executable, "-m", "scaivault.cli", "server", "rotate-key", "--tenant", TENANT]
    return subprocess.Popen(
        command, env=dict(stage.environ), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _checked(command: subprocess.Popen[str], least: int) -> int:
    """How many data keys it has wrapped anew, by its own proof."""
    said, _ = command.communicate()
    proof = PROOF.match(said)
    if proof is None or command.returncode != 0:
        raise BenchFault(f"The rotation ended with status {command.returncode} and said: {said}")
    count, left = (int(each.replace(",", "")) for each in proof.groups())
    if left or count < least:
        raise BenchFault(f"The rotation wrapped {count} data keys anew and left {left}")
    return count


def _p99(outcome: Outcome) -> float:
    return percentile(outcome.latencies, 0.99)
