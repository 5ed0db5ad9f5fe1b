"""PostgreSQL and Redis: connections, transactions, rows, migrations. Knows no feature."""

import sys
from importlib import import_module


def _import_redis_by_itself() -> None:
    """redis-py loads OpenTelemetry's metrics wherever they are installed, 60 ms and 3 MB, to offer what we do not use.

    If it does not see them it does without. Here, because nothing that imports it comes before this package.
    """
    absent = object()
    seen = sys.modules.get("opentelemetry", absent)
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # how the import system spells "there is none"
    try:
        import_module("redis")
    finally:
        del sys.modules["opentelemetry"]
        if seen is not absent:
            sys.modules["opentelemetry"] = seen  # type: ignore[assignment]  # a module, if it is not `absent`


_import_redis_by_itself()
