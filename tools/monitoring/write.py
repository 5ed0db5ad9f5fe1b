"""Writes what `make docs` writes for Prometheus."""

from pathlib import Path

from tools.monitoring import rules

FOLDER = Path("prometheus-rules")


def written() -> dict[Path, str]:
    """Each file, and what belongs into it."""
    return {FOLDER / name: text for name, text in rules.files().items()} | {
        FOLDER / "tests" / name: text for name, text in rules.stories().items()
    }


if __name__ == "__main__":
    for path, text in written().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
