"""What the exporter's looks cost in a small and in a large vault, and what its counts cost a writer."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from statistics import median

import psycopg
from prometheus_client.core import Metric
from psycopg import sql

from scaivault.crypto.kms.local import LocalKeys
from scaivault.crypto.stats import root_key
from scaivault.dev import postgres
from scaivault.features.audit.stats import TopReaders
from scaivault.features.secrets.stats import live_secrets
from scaivault.storage import migrate
from scaivault.storage.database import Session
from scaivault.storage.reading import Reading
from tests.bench.filling import ADD_ENTRIES, ADD_SECRETS, DAYS, RARE
from tests.bench.options import Options
from tests.bench.report import Finding
from tests.bench.stage import Stage
from tests.bench.wire import BenchFault, Line, request

TENANT = "tnt_counted"
WARM, TIMES = 15, 60
LOOK_MS, GROWTH, WRITE = 100, 2, 1.1
MOST_ENTRIES = 1_000_000
TENANTS, SECRETS_EACH = 10_000, 100
PARTNERS = "INSERT INTO partners (id, name) VALUES ('ptn_counted', 'Counted')"
ADD_TENANTS = "INSERT INTO tenants (id, partner_id, name) SELECT id, 'ptn_counted', id FROM unnest(%s::text[]) AS id"
# Spread over sessions' rows as eight writers would have left them.
ADD_COUNTS = """
    INSERT INTO secret_counts (tenant_id, shard, live)
    SELECT id, shard, %s / 8 FROM tenants CROSS JOIN generate_series(0, 7) AS shard
"""
# What the last hour brought, the same in each of the databases.
ADD_RECENT = """
    INSERT INTO audit_log (tenant_id, occurred_at, id, action, identity_type, identity_id, source_ip, user_agent,
                           success, duration_ms, request_id, trace_id, extra_data)
    SELECT tenants.id, now() - n * interval '1 second', gen_random_uuid()::text, 'read', 'user', 'user:' || n % 300,
           '::1', '', true, 1, 'r', 't', '{}'
      FROM generate_series(1, 3600) AS n JOIN (SELECT id FROM tenants ORDER BY id LIMIT 1) AS tenants ON true
"""
Look = Callable[[Session], list[Metric]]


def looks(stage: Stage, options: Options, say: Callable[[str], None]) -> list[Finding]:
    """Each collector's look at few secrets and entries, at many, and at many tenants, in turns."""
    entries = min(options.audit_rows, MOST_ENTRIES)
    kms = LocalKeys(stage.plan.key_file, development=True)
    with ExitStack() as stack:

        def database(name: str, tenants: int, secrets: int, entries: int) -> Reading:
            url = stack.enter_context(_filled(stage.database, name, tenants, secrets, entries))
            reading = Reading(url, lambda _seconds: None)
            stack.callback(reading.close)
            say(f"a database of {tenants:,} tenants, {secrets:,} secrets and {entries:,} audit entries")
            return reading

        readings = {
            "few": database("bench_few", 1, options.few, options.few),
            "many": database("bench_many", 1, options.secrets, entries),
            "wide": database("bench_wide", TENANTS, options.few, options.few),
        }
        findings = []
        for name in ("secrets", "readers", "kms"):
            times = _timed(readings, {where: _look(name, kms) for where in readings})
            findings += _findings(name, times, options, entries)
        took = _timed_once(readings)
    for where, seconds in took.items():
        say(f"the first look at an hour of readers, {where}: {seconds * 1_000:.0f} ms")
    return findings


def writes(stage: Stage, options: Options, say: Callable[[str], None]) -> Finding:
    """New secrets through the API with the counts and without, in turns: a tenth more would be noticed."""
    times: dict[bool, list[float]] = {True: [], False: []}
    ratios = []
    line = Line(stage.plan.port)
    for number in range(8 * options.rounds):  # short ones: what the disk does meanwhile must not decide
        is_counted = number % 2 == 0
        _switch(stage, is_counted=is_counted)
        times[is_counted].append(median(_create(line, stage, number)))
        if not is_counted:
            ratios.append(times[True][-1] / times[False][-1])
    _switch(stage, is_counted=True)
    line.close()
    counted, bare = (median(times[is_counted]) * 1_000 for is_counted in (True, False))
    say(f"a new secret takes {counted:.2f} ms counted, {bare:.2f} ms uncounted")
    return Finding("a new secret, counted by its trigger", f"{counted:.2f} ms", f"{bare:.2f} ms", ratios, WRITE)


def _look(name: str, kms: LocalKeys) -> Look:
    return {
        "secrets": live_secrets,
        "readers": TopReaders(lambda: 0.0).look,
        "kms": lambda session: root_key(kms, session),
    }[name]


def _timed(readings: Mapping[str, Reading], by_place: Mapping[str, Look]) -> Mapping[str, float]:
    """Median seconds of a look in each place."""
    times: dict[str, list[float]] = {where: [] for where in readings}
    for number in range(WARM + TIMES):
        for where, reading in readings.items():
            started = time.perf_counter()
            with reading.session() as session:
                by_place[where](session)
            if number >= WARM:
                times[where].append(time.perf_counter() - started)
    return {where: median(taken) for where, taken in times.items()}


def _timed_once(readings: Mapping[str, Reading]) -> Mapping[str, float]:
    took = {}
    for where, reading in readings.items():
        started = time.perf_counter()
        with reading.session() as session:
            TopReaders(lambda: 0.0).look(session)
        took[where] = time.perf_counter() - started
    return took


def _findings(name: str, times: Mapping[str, float], options: Options, entries: int) -> Iterator[Finding]:
    few, many, wide = (times[where] * 1_000 for where in ("few", "many", "wide"))
    what = f"exporter, a look at {name}"
    size = f"{options.secrets:,} secrets, {entries:,} entries to {options.few:,} of each"
    yield Finding(f"{what}; {size}", f"{many:.2f} ms", f"{few:.2f} ms", [many / few], GROWTH)
    yield Finding(f"{what}; the same", f"{many:.2f} ms", f"{LOOK_MS} ms", [many / LOOK_MS], 1)
    yield Finding(f"{what}; {TENANTS:,} tenants", f"{wide:.2f} ms", f"{LOOK_MS} ms", [wide / LOOK_MS], 1)


@contextmanager
def _filled(server: postgres.Server, name: str, tenants: int, secrets: int, entries: int) -> Iterator[str]:
    """A database of that size; dropped afterwards."""
    administer = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(postgres.OWNER))
    with psycopg.connect(server.url("postgres", postgres.SUPERUSER), autocommit=True) as superuser:
        superuser.execute(administer)
        try:
            url = server.url(name)
            migrate.apply(url)
            with psycopg.connect(url, autocommit=True) as session:
                _fill(session, tenants, secrets, entries)
            yield url
        finally:
            superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _fill(session: psycopg.Connection, tenants: int, secrets: int, entries: int) -> None:
    session.execute("SET timezone = 'UTC'")
    session.execute("SET synchronous_commit = off")
    session.execute(PARTNERS)
    names = [TENANT, *(f"tnt_{number:05}" for number in range(tenants - 1))]
    session.execute(ADD_TENANTS, [names])
    session.execute(ADD_SECRETS, {"tenant": TENANT, "count": secrets, "one_in": secrets // RARE})
    if tenants > 1:
        session.execute("DELETE FROM secret_counts")
        session.execute(ADD_COUNTS, [SECRETS_EACH])
    session.execute("SELECT audit_log_make_months((now() - make_interval(days => %s))::date, 4)", [DAYS])
    past = session.execute("SELECT now() - interval '2 hours'").fetchone()[0]
    fixed = {"tenant": TENANT, "count": entries, "one_in": entries // RARE, "now": past, "span": f"{DAYS} days"}
    session.execute(ADD_ENTRIES, fixed | {"first": 1, "last": entries})
    session.execute(ADD_RECENT)
    session.execute("VACUUM ANALYZE")


def _switch(stage: Stage, *, is_counted: bool) -> None:
    verb = "ENABLE" if is_counted else "DISABLE"
    with psycopg.connect(stage.database.url(), autocommit=True) as owner:
        owner.execute(f"ALTER TABLE secrets {verb} TRIGGER secrets_added")


def _create(line: Line, stage: Stage, number: int) -> Iterator[float]:
    """Seconds of each new secret, one after the other."""
    for each in range(40):
        path = f"/v1/secrets/bench/counted-{number}-{each}"
        raw = request("PUT", path, stage.tokens.deployer, {"data": {"n": each}}).raw
        started = time.perf_counter()
        status, body = line.ask(raw)
        yield time.perf_counter() - started
        if status != 201:
            raise BenchFault(f"{path} was answered {status}: {body!r}")
