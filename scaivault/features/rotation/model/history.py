"""What became of rotations."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from scaivault.kernel.renewal import Trigger

# Why a secret was not renewed whose turn did not come in that time.
OUT_OF_TIME: Final = "out_of_time"

KEPT: Final = timedelta(days=400)


class Status(StrEnum):
    SUCCESS = "success"
    FAILED = "failed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a policy's history."""

    id: str
    policy_id: str | None
    path: str
    status: Status
    triggered_by: Trigger
    identity_id: str
    attempts: int
    reason: str | None
    due_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    old_version: int | None
    new_version: int | None
    grace_period_ends: datetime | None
