"""What was found, as a table for the terminal and as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

COLUMNS = ("what", "measured", "yardstick", "ratio", "bar", "met")
NUMBERS_FROM, NUMBERS_TO = 1, 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure beside its yardstick. `bar` bounds the ratio: from below for a throughput, else from above."""

    what: str
    measured: str
    yardstick: str
    ratios: Sequence[float]
    bar: float | None = None
    is_throughput: bool = False

    @property
    def ratio(self) -> float:
        """The median of all rounds."""
        return median(self.ratios)

    @property
    def is_met(self) -> bool:
        if self.bar is None:
            return True
        return self.ratio >= self.bar if self.is_throughput else self.ratio <= self.bar

    def cells(self) -> tuple[str, ...]:
        ratio = f"{self.ratio:.2f}"
        if len(self.ratios) > 1:
            ratio += f" ({min(self.ratios):.2f} to {max(self.ratios):.2f})"
        bar = "" if self.bar is None else f"{'≥' if self.is_throughput else '≤'} {self.bar:g}"
        met = "" if self.bar is None else "yes" if self.is_met else "NO"
        return (self.what, self.measured, self.yardstick, ratio, bar, met)


def table(findings: Sequence[Finding]) -> str:
    """For a terminal."""
    rows = [COLUMNS, *(finding.cells() for finding in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [_aligned(row, widths) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if NUMBERS_FROM <= column < NUMBERS_TO else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def page(findings: Sequence[Finding], machine: Mapping[str, str], notes: str) -> str:
    """Markdown that says how it was made."""
    return "\n".join(
        [
            "# Performance",
            "",
            "Made by `make bench BENCH_WRITE=1`: do not edit, run it again. `make bench` prints the same and writes",
            "nothing. Figures are ratios to a yardstick measured in the same run, in turns with what they judge; absolute",
            "numbers say something about the machine below only.",
            "",
            "## Figures",
            "",
            f"| {' | '.join(COLUMNS)} |",
            "|---|--:|--:|--:|---|---|",
            *(f"| {' | '.join(finding.cells())} |" for finding in findings),
            "",
            "A ratio of several rounds is their median, with the least and the greatest in brackets.",
            "",
            "## Machine",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {fact} |" for name, fact in machine.items()),
            "",
            "## How it was measured",
            "",
            notes.strip(),
            "",
        ]
    )
