"""How large a run is. The defaults are the issue's; smaller ones make a quick run that proves nothing."""

from dataclasses import dataclass
from pathlib import Path

from scaivault.settings import process_environ

PAGE = Path("docs/operations/performance.md")


@dataclass(frozen=True)
class Options:
    """`BENCH_SECRETS`, `BENCH_AUDIT_ROWS`, `BENCH_DATA_KEYS` and `BENCH_SECONDS` (of a round) change them; `BENCH_WRITE=1` writes."""

    secrets: int = 1_000_000
    audit_rows: int = 5_000_000
    data_keys: int = 1_000_000
    seconds: float = 4.0
    is_to_write: bool = False

    few: int = 10_000
    clients: int = 8
    rounds: int = 6

    @classmethod
    def from_env(cls) -> "Options":
        environ = process_environ()
        return cls(
            secrets=max(cls.few, int(environ.get("BENCH_SECRETS") or cls.secrets)),
            audit_rows=max(cls.few, int(environ.get("BENCH_AUDIT_ROWS") or cls.audit_rows)),
            data_keys=int(environ.get("BENCH_DATA_KEYS") or cls.data_keys),
            seconds=float(environ.get("BENCH_SECONDS") or cls.seconds),
            is_to_write=environ.get("BENCH_WRITE", "") not in {"", "0"},
        )

    @property
    def is_full_size(self) -> bool:
        full = Options()
        ours, whole = ((each.secrets, each.audit_rows, each.data_keys) for each in (self, full))
        return ours == whole and self.seconds >= full.seconds
