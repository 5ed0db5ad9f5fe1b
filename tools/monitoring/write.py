"""Writes what `make docs` writes for Prometheus, and the index of runbooks."""

from pathlib import Path

from tools.monitoring import rules
from tools.monitoring.rules import index

FOLDER = Path("prometheus-rules")
RUNBOOKS = Path("docs/runbooks")


def written() -> dict[Path, str]:
    """Each file, and what belongs into it."""
    return {
        **{FOLDER / name: text for name, text in rules.files().items()},
        **{FOLDER / "tests" / name: text for name, text in rules.stories().items()},
        RUNBOOKS / "README.md": index.page(),
    }


if __name__ == "__main__":
    for path, text in written().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
