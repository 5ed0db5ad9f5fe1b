"""How the vault feels, part by part, for administrators."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypedDict, TypeVar

from pydantic import WithJsonSchema as JsonSchema

from scaivault.edge.health import Condition, Finding, Readiness
from scaivault.edge.messages import Reply, Timestamp
from scaivault.edge.survey import ANSWER_SECONDS, Survey

NOT_CONFIGURED = "not_configured"

# A text to the OpenAPI document, which has room for one thing called `Condition`: a feature has one too.
Word = Annotated[str, JsonSchema({"type": "string", "enum": [*(word.value for word in Condition), NOT_CONFIGURED]})]
PartReply = TypeVar("PartReply", bound="Part")
Fact = TypeVar("Fact")


class _Found(TypedDict):
    status: str
    latency_ms: float | None


class Part(Reply):
    """`status` is a word of a closed list; what is not known for it is null."""

    status: Word = Condition.OK.value

    @property
    def is_well(self) -> bool:
        return self.status in (Condition.OK.value, Condition.STARTING.value, NOT_CONFIGURED)


class Component(Part):
    """`latency_ms` of the last check; null if it did not come back in time."""

    latency_ms: float | None = None


class DatabaseDetail(Component):
    """The pool is that of the worker that answers."""

    pool_size: int
    pool_available: int


class RedisDetail(Component):
    memory_used_mb: float | None


class EncryptionDetail(Component):
    key_status: str
    key_id: str | None
    last_rotation: Timestamp | None


class Checks(Reply):
    database: DatabaseDetail
    redis: RedisDetail
    encryption: EncryptionDetail
    s3: Component


class Workers(Part):
    """API workers by state."""

    starting: int | None = None
    serving: int | None = None
    draining: int | None = None


class Exporter(Part):
    last_seen: Timestamp | None = None


class BackgroundWorkers(Part):
    """Those that do what nobody asks for; `unreachable` if none was seen lately."""

    alive: int | None = None
    last_seen: Timestamp | None = None


class Job(Part):
    """A background job of the worker that answers; `starting` until its first run has ended."""

    last_success: Timestamp | None = None
    last_failure: Timestamp | None = None


class Migrations(Part):
    """Of this release; pending ones make it an `error`."""

    applied: int | None = None
    pending: int | None = None


class Queues(Part):
    """What is due and waits."""

    directory_syncs: int | None = None
    webhook_deliveries: int | None = None
    rotations: int | None = None


class Audit(Part):
    """The last entry that the worker which answers has appended, and whether next month's have a table."""

    append_latency_ms: float | None = None
    has_next_month: bool | None = None


class Detailed(Reply):
    status: Literal["healthy", "degraded"]
    version: str
    uptime_seconds: float
    checks: Checks
    workers: Workers
    background_workers: BackgroundWorkers
    exporter: Exporter
    jobs: dict[str, Job]
    migrations: Migrations
    queues: Queues
    audit: Audit


@dataclass(frozen=True, slots=True)
class JobTimes:
    """When a background job last ended well, and when not; None if never."""

    last_success: datetime | None
    last_failure: datetime | None


@dataclass(frozen=True, slots=True)
class Seen:
    """How many were seen lately, and when the last."""

    alive: int
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Whom to ask. Each may be slow, hang or fail, but for those that only look at what is at hand."""

    # At hand.
    pool: Callable[[], tuple[int, int]]
    key_status: Callable[[], str]
    append_seconds: Callable[[], float | None]
    jobs: Callable[[], Mapping[str, JobTimes]]
    # Asked for.
    redis_memory_mb: Callable[[], float | None]
    key_id: Callable[[], str]
    last_rotation: Callable[[], datetime | None]
    has_next_month: Callable[[], bool]
    migrations: Callable[[], tuple[int, int]]
    queued_syncs: Callable[[], int]
    due_deliveries: Callable[[], int]
    due_rotations: Callable[[], int]
    workers: Callable[[], Mapping[str, int]]
    background_workers: Callable[[], Seen]
    exporter_last_seen: Callable[[], datetime | None]


class Detail:
    """The whole page."""

    def __init__(
        self, readiness: Readiness, facts: Facts, version: str, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._readiness = readiness
        self._facts = facts
        self._version = version
        self._started = time.monotonic()
        self._survey = Survey(
            {
                "findings": readiness.findings,
                "redis_memory_mb": facts.redis_memory_mb,
                "key_id": facts.key_id,
                "last_rotation": facts.last_rotation,
                "audit": self._ask_audit,
                "migrations": self._ask_migrations,
                "queues": self._ask_queues,
                "workers": self._ask_workers,
                "background_workers": self._ask_background_workers,
                "exporter": self._ask_exporter,
            },
            answer_seconds,
        )

    def page(self) -> Detailed:
        """Within the time that the survey takes, whatever stands still."""
        answers = self._survey.answers()
        checks = self._checks(answers)
        exporter = _part(Exporter, answers["exporter"])
        parts = {
            "workers": _part(Workers, answers["workers"]),
            "background_workers": _part(BackgroundWorkers, answers["background_workers"]),
            "migrations": _part(Migrations, answers["migrations"]),
            "queues": _part(Queues, answers["queues"]),
            "audit": _part(Audit, answers["audit"]),
        }
        jobs = {name: _job(times) for name, times in self._facts.jobs().items()}
        # Not the exporter: the vault serves as well without.
        is_well = all(
            part.is_well for part in (checks.database, checks.redis, checks.encryption, *parts.values(), *jobs.values())
        )
        return Detailed(
            status="healthy" if is_well else "degraded",
            version=self._version,
            uptime_seconds=round(time.monotonic() - self._started, 3),
            checks=checks,
            exporter=exporter,
            jobs=jobs,
            **parts,
        )

    def close(self) -> None:
        self._survey.close()

    def _checks(self, answers: Mapping[str, object]) -> Checks:
        findings, facts = self._readiness.last(), self._facts
        size, available = facts.pool()
        return Checks(
            database=DatabaseDetail(**_found(findings["database"]), pool_size=size, pool_available=available),
            redis=RedisDetail(**_found(findings["redis"]), memory_used_mb=_known(float, answers["redis_memory_mb"])),
            encryption=EncryptionDetail(
                **_found(findings["encryption"]),
                key_status=facts.key_status(),
                key_id=_known(str, answers["key_id"]),
                last_rotation=_known(datetime, answers["last_rotation"]),
            ),
            s3=Component(status=NOT_CONFIGURED),
        )

    def _ask_audit(self) -> Audit:
        seconds, has_next_month = self._facts.append_seconds(), self._facts.has_next_month()
        return Audit(
            status=_word(has_next_month),
            append_latency_ms=None if seconds is None else round(seconds * 1_000, 3),
            has_next_month=has_next_month,
        )

    def _ask_migrations(self) -> Migrations:
        applied, pending = self._facts.migrations()
        return Migrations(status=_word(pending == 0), applied=applied, pending=pending)

    def _ask_queues(self) -> Queues:
        facts = self._facts
        return Queues(
            directory_syncs=facts.queued_syncs(),
            webhook_deliveries=facts.due_deliveries(),
            rotations=facts.due_rotations(),
        )

    def _ask_background_workers(self) -> BackgroundWorkers:
        seen = self._facts.background_workers()
        condition = Condition.OK if seen.alive else Condition.UNREACHABLE
        return BackgroundWorkers(status=condition.value, alive=seen.alive, last_seen=seen.last_seen)

    def _ask_workers(self) -> Workers:
        return Workers(**self._facts.workers())

    def _ask_exporter(self) -> Exporter:
        last_seen = self._facts.exporter_last_seen()
        return Exporter(
            status=(Condition.UNREACHABLE if last_seen is None else Condition.OK).value, last_seen=last_seen
        )


def _part(kind: type[PartReply], answer: object) -> PartReply:
    return answer if isinstance(answer, kind) else kind(status=str(answer))


def _known(kind: type[Fact], answer: object) -> Fact | None:
    return answer if isinstance(answer, kind) and not isinstance(answer, Condition) else None


def _found(finding: Finding) -> _Found:
    latency = None if finding.latency_ms is None else round(finding.latency_ms, 3)
    return {"status": finding.condition.value, "latency_ms": latency}


def _word(is_well: bool) -> str:
    return (Condition.OK if is_well else Condition.ERROR).value


def _job(times: JobTimes) -> Job:
    success, failure = times.last_success, times.last_failure
    condition = Condition.OK
    if failure is not None and (success is None or success <= failure):
        condition = Condition.ERROR
    elif success is None:
        condition = Condition.STARTING
    return Job(status=condition.value, last_success=success, last_failure=failure)
