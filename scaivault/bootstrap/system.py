"""What a process tells of itself: health, readiness, details, metrics."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Protocol

from scaivault.bootstrap.base import REVISION, VERSION, Base
from scaivault.crypto.envelope import Envelope
from scaivault.crypto.probe import KeyProbe
from scaivault.crypto.store import RotatingKeys
from scaivault.edge.context import Log
from scaivault.edge.detail import Detail, Facts, JobTimes, Seen
from scaivault.edge.health import Check, Condition, Readiness
from scaivault.edge.metrics import ClusterSeries
from scaivault.edge.system import Build, SystemPages
from scaivault.features.audit.service import has_next_month
from scaivault.features.directory.service.syncs import count_queued
from scaivault.features.events import stats as deliveries
from scaivault.features.rotation import stats as rotations
from scaivault.observability.exposition import append
from scaivault.settings import Settings
from scaivault.storage.blackboard import Blackboard
from scaivault.storage.database import Database, Session
from scaivault.storage.probe import DatabaseProbe
from scaivault.storage.redis import RedisProbe
from scaivault.storage.standing import standing
from scaivault.workers.heartbeat import find_seen
from scaivault.workers.periodic import Job, Periodic

CLUSTER_SECONDS = 0.1
READINESS_SECONDS = 1.0
POOL_GAUGES_SECONDS = 1.0
SEEN_WITHIN = timedelta(seconds=30)  # six heartbeats


def system_of(settings: Settings, base: Base, periodic: Sequence[Periodic]) -> SystemPages:
    """The pages of a process that does `periodic` beside its work."""
    instruments = base.instruments
    database = DatabaseProbe(
        settings.database_url.get_secret_value(), instruments.observe_db, base.database.ran_out_of_room
    )
    redis = RedisProbe(settings.redis_url.get_secret_value(), instruments.observe_redis, base.listeners.redis)
    keys = KeyProbe(base.kms, Envelope(base.ring), base.ring.check_root)
    board = Blackboard(settings.redis_url.get_secret_value(), CLUSTER_SECONDS, instruments.observe_redis)
    cluster = ClusterSeries(board, CLUSTER_SECONDS)

    readiness = Readiness(
        {
            "database": Check(database.check, deadline_seconds=0.5),
            "redis": Check(redis.check, deadline_seconds=0.5),
            "encryption": Check(keys.check, deadline_seconds=1.0),
        },
        on_close=(database.close, redis.close, cluster.close),
        on_change=partial(_tell, base.log),
    )
    facts = Facts(
        pool=lambda: (base.database.size, base.database.available),
        key_status=lambda: keys.state.value,
        append_seconds=lambda: base.journal.last_append_seconds,
        jobs=partial(_job_times, periodic),
        redis_memory_mb=redis.memory_used_mb,
        key_id=lambda: base.kms.key_id,
        last_rotation=RotatingKeys(base.aside, base.journal).last_finished,
        has_next_month=partial(has_next_month, base.aside),
        migrations=partial(standing, base.aside),
        queued_syncs=partial(count_queued, base.aside),
        due_deliveries=partial(_count_due, base.aside, deliveries.find_queue),
        due_rotations=partial(_count_due, base.aside, rotations.find_queue),
        workers=instruments.workers,
        background_workers=partial(_background_workers, base),
        exporter_last_seen=cluster.last_seen,
    )

    def metrics(accept: str, *, pod_only: bool) -> tuple[bytes, str]:
        gauge_pool(base)
        body, content_type = instruments.render(accept)
        return body if pod_only else append(body, content_type, cluster.families()), content_type

    return SystemPages(
        readiness,
        Detail(readiness, facts, VERSION),
        metrics,
        base.guard,
        base.clock,
        Build(VERSION, REVISION),
        instruments.set_ready,
        instruments.set_dependency_ready,
        metrics_are_open=settings.metrics_auth == "none",
    )


def watch_of(base: Base, system: SystemPages) -> Periodic:
    """What looks at this process, never long, so that whoever asks is told at once, and of what is."""
    return Periodic(
        [
            Job("readiness", READINESS_SECONDS, system.look, is_owed_at_end=False),
            # Here because nothing else does: what waits for a connection itself can not tell that there is none.
            Job("pool_gauges", POOL_GAUGES_SECONDS, partial(gauge_pool, base), is_owed_at_end=False),
        ],
        base.job_failed,
    )


def _tell(log: Log, name: str, condition: Condition, failure: Exception | None) -> None:
    if condition is Condition.OK:
        log("info", "dependency_back", dependency=name)
    else:
        log("warn", "dependency_lost", failure, dependency=name, condition=condition.value)


def gauge_pool(base: Base) -> None:
    """Tell the state of the pool as it is now."""
    database = base.database
    base.instruments.set_pool(database.size, database.available, database.most, database.waiting)


class _Queue(Protocol):
    @property
    def depth(self) -> int: ...


def _count_due(database: Database, find_queue: Callable[[Session], _Queue]) -> int:
    with database.session() as session:
        return find_queue(session).depth


def _background_workers(base: Base) -> Seen:
    with base.aside.session() as session:
        found = find_seen(session, base.clock.now() - SEEN_WITHIN)
    return Seen(found.workers, found.last_seen_at)


def _job_times(periodic: Sequence[Periodic]) -> dict[str, JobTimes]:
    return {
        name: JobTimes(record.last_success, record.last_failure)
        for each in periodic
        for name, record in each.records.items()
    }
