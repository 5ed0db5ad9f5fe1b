"""Rotation: how many secrets a worker renews, and what a hundred thousand that are due do to deliveries and queues.

`python -m tests.bench.rotations` measures this alone; BENCH_DUE makes it smaller.
"""

import sys
import time
from collections.abc import Callable, Sequence

import psycopg

from scaivault.bootstrap.base import base_of, root_key_service
from scaivault.crypto.envelope import Envelope, Place
from scaivault.kernel.calls import Listeners
from scaivault.kernel.clock import SystemClock
from scaivault.kernel.plaintext import Plaintext
from scaivault.settings import process_environ
from tests.bench import report, stage
from tests.bench.load import percentile
from tests.bench.report import Finding
from tests.bench.stage import PARTNER, SMALL_TENANT, Stage
from tests.bench.webhooks import await_ready, cpu_seconds, working
from tests.bench.wire import BenchFault, call
from tests.receiver import Receiver

SECRET = "a-secret-that-only-the-receiver-knows"
DUE = 100_000
RATED = 3_000
PER_SECOND, SECONDS = 20, 15
ROTATIONS_PER_SECOND = 150
DISPATCH_SECONDS = 2.0
STATS_SECONDS = 0.1
PATIENCE_SECONDS = 180
FIELDS = [
    {"name": "username", "generator": "template", "config": {"template": "app_{{hex:8}}"}},
    {"name": "password", "generator": "random", "config": {"length": 32, "require_digit": True}},
]
FIRST = b'{"username":"first","password":"first","host":"db.example"}'
# As the API leaves them: with a first version that a rotation opens and gives an end.
MAKE_FIRSTS = "CREATE TEMPORARY TABLE firsts (path text, sealed bytea, wrapped_key bytea)"
ADD_SECRETS = """
    WITH made AS (
        INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at,
                             updated_at, rotation_policy_id)
        SELECT %(tenant)s, path, 'kv', 1, '{}', 10, now(), now(), %(policy)s FROM firsts
        RETURNING tenant_id, path
    ), versions AS (
        INSERT INTO secret_versions (tenant_id, path, version, sealed, wrapped_key, created_at, created_by)
        SELECT tenant_id, path, 1, sealed, wrapped_key, now(), 'bench' FROM made JOIN firsts USING (path)
    )
    INSERT INTO secret_rotations (tenant_id, path, policy_id, schedule_revision, counts_from, state, due_at, wake_at)
    SELECT tenant_id, path, %(policy)s, 1, now() - interval '1 day', 'scheduled', now(), now() FROM made
"""


def rotations(stage: Stage, say: Callable[[str], None], due: int = DUE) -> list[Finding]:
    """Secrets worked off by one worker with the real generator, nobody listening; then deliveries beside it."""
    rotated, processor = _rate(stage)
    say(f"{RATED:,} rotations by one worker, {rotated:.0f}/s; {processor * 1_000:.1f} ms of processor each")
    quiet, busy, left = _deliveries(stage, due, say)
    looked = _stats(stage)
    say(f"{left:,} still due; the exporter's look at them {looked * 1_000:.0f} ms")
    _put_off(stage)
    bar = ROTATIONS_PER_SECOND
    return [
        Finding(
            "rotations, one worker, generated, sealed and committed by the batch, nobody listening",
            f"{rotated:.0f}/s",
            f"{bar}/s",
            [rotated / bar],
            1,
            True,
        ),
        Finding(
            f"from a write's request to its delivery, p99 at {PER_SECOND} events/s, with {due:,} rotations due",
            f"{busy:.2f} s",
            f"{DISPATCH_SECONDS:g} s; {quiet:.2f} s with none",
            [busy / DISPATCH_SECONDS],
            1,
        ),
        Finding(
            f"the exporter's look at rotation, {left:,} due",
            f"{looked * 1_000:.0f} ms",
            f"{STATS_SECONDS * 1_000:.0f} ms",
            [looked / STATS_SECONDS],
            1,
        ),
    ]


def _rate(stage: Stage) -> tuple[float, float]:
    """Rotations per second, from the first one's commit to the last one's; the worker's processor seconds for each."""
    with working(stage) as process, psycopg.connect(stage.database.url(), autocommit=True) as connection:
        await_ready(stage)
        before = cpu_seconds(process.pid)
        _add_due(stage, "rated", RATED)
        _await(lambda: _version_counts(connection, "rated") == RATED, "The rotations were not all done")
        processor = (cpu_seconds(process.pid) - before) / RATED
        [first, last] = connection.execute(
            "SELECT min(created_at), max(created_at) FROM secret_versions WHERE version = 2 AND path LIKE 'rated/%'"
        ).fetchone()
    return (RATED - 1) / (last - first).total_seconds(), processor


def _deliveries(stage: Stage, due: int, say: Callable[[str], None]) -> tuple[float, float, int]:
    """The slowest delivery but one in a hundred, in quiet and while so many are due; how many were left then."""
    receiver = Receiver(SECRET)
    body = {
        "name": "beside",
        "url": receiver.url,
        "secret": SECRET,
        "events": ["secret.created"],
        "filters": {"path_prefix": "beside/"},
    }
    try:
        call(stage.plan.port, stage.tokens.small, "POST", "/v1/webhooks", body, status=201)
        with working(stage):
            await_ready(stage)
            quiet = _as_they_come(stage, receiver, "quiet")
            say(f"{PER_SECOND * SECONDS} writes beside no rotations; p99 {quiet:.2f} s")
            _add_due(stage, "many", due)
            busy = _as_they_come(stage, receiver, "busy")
        with psycopg.connect(stage.database.url(), autocommit=True) as connection:
            left = due - _version_counts(connection, "many")
        say(f"{PER_SECOND * SECONDS} writes beside {due:,} due; p99 {busy:.2f} s")
        if not all(each.is_genuine for each in receiver.received):
            raise BenchFault("A signature does not hold")
    finally:
        receiver.close()
    return quiet, busy, left


def _as_they_come(stage: Stage, receiver: Receiver, name: str) -> float:
    asked: dict[str, float] = {}
    before = len(receiver.received)
    began = time.monotonic()
    for number in range(PER_SECOND * SECONDS):
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        path = f"beside/{name}/{number}"
        asked[path] = time.time()
        call(stage.plan.port, stage.tokens.small, "PUT", f"/v1/secrets/{path}", {"data": {"n": number}}, status=201)
    receiver.await_count(before + len(asked), PATIENCE_SECONDS)
    arrived = {each.event["path"]: each.at for each in receiver.received[before:]}
    return percentile(sorted(arrived[path] - at for path, at in asked.items()), 0.99)


def _stats(stage: Stage) -> float:
    """The exporter's query, the median of five, each number as the exporter asks it."""
    from scaivault.features.rotation.stats import find_queue  # noqa: PLC0415 - the bench starts without the product
    from scaivault.storage.database import Database  # noqa: PLC0415 - as above

    database = Database(stage.database.url(), 1, lambda _seconds: None)
    database.open()
    try:
        took = []
        for _ in range(5):
            with database.session() as session:
                began = time.monotonic()
                find_queue(session)
                took.append(time.monotonic() - began)
    finally:
        database.close()
    return sorted(took)[2]


def _add_due(stage: Stage, prefix: str, count: int) -> None:
    """So many secrets under a policy of their own, all of them due."""
    port, token = stage.plan.port, stage.tokens.small
    maker = call(port, token, "POST", "/v1/secret-policies", {"name": f"bench {prefix}", "fields": FIELDS}, status=201)[
        "id"
    ]
    body = {"name": f"bench {prefix}", "interval": "1d", "auto_generate": True, "secret_policy_id": maker}
    policy = call(port, token, "POST", "/v1/rotation/policies", body, status=201)["id"]
    with psycopg.connect(stage.database.url(), autocommit=True) as connection:
        _seal_firsts(stage, connection, [f"{prefix}/{number:08}" for number in range(1, count + 1)])
        connection.execute(ADD_SECRETS, {"tenant": SMALL_TENANT, "policy": policy})
        connection.execute("ANALYZE secrets, secret_versions, secret_rotations")


def _seal_firsts(stage: Stage, connection: "psycopg.Connection[tuple[object, ...]]", paths: Sequence[str]) -> None:
    """A first version for each path, sealed as the API would have."""
    base = base_of(stage.settings, SystemClock(), root_key_service(stage.settings), Listeners())
    base.database.open()
    try:
        keys = base.ring.for_tenant(PARTNER, SMALL_TENANT)
    finally:
        base.database.close()
    connection.execute(MAKE_FIRSTS)
    with connection.cursor() as cursor, cursor.copy("COPY firsts (path, sealed, wrapped_key) FROM STDIN") as copy:
        for path in paths:
            first = Envelope.seal(keys, Place(PARTNER, SMALL_TENANT, path, 1), Plaintext(FIRST))
            copy.write_row((path, first.sealed, first.wrapped_key))


def _version_counts(connection: "psycopg.Connection[tuple[int]]", prefix: str) -> int:
    found = connection.execute(
        "SELECT count(*) FROM secret_versions WHERE version = 2 AND path LIKE %s", [f"{prefix}/%"]
    ).fetchone()
    return found[0] if found else 0


def _await(check: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise BenchFault(otherwise)
        time.sleep(0.2)


def _say(what: str) -> None:
    print(what, file=sys.stderr)  # noqa: T201 - as it goes on


if __name__ == "__main__":
    with stage.raised() as house:
        due = int(process_environ().get("BENCH_DUE") or DUE)
        found = rotations(house, _say, due)
        print(report.table(found))  # noqa: T201 - the table is what it is for


def _put_off(stage: Stage) -> None:
    """What is left over is due on another day: a worker that is measured next may have nothing to do."""
    with psycopg.connect(stage.database.url(), autocommit=True) as connection:
        connection.execute("UPDATE secret_rotations SET due_at = now() + '1 day', wake_at = now() + '1 day'")
