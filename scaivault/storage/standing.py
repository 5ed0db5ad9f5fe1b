"""Which of this release's schema changes the database has."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scaivault.storage.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class _Applied:
    migration_id: str


def standing(database: Database) -> tuple[int, int]:
    """How many are applied, and how many are still to be. Unavailable."""
    with database.session() as session:
        # The library's own table; the library would make it if it were not there, which is not ours to do here.
        applied = {row.migration_id for row in session.many(_Applied, "SELECT migration_id FROM _yoyo_migration")}
    return len(_ours() & applied), len(_ours() - applied)


@cache
def _ours() -> frozenset[str]:
    return frozenset(file.stem for file in MIGRATIONS.glob("*.sql"))
