"""How the numbers of several processes become one, by the shelf that they are kept on."""

from collections.abc import Callable, Iterable

Values = list[float | None]
Stamps = dict[int, float]
Pairs = Iterable[tuple[int, int]]  # where a number goes, and where it is
Merger = Callable[[Values, Stamps, "memoryview[float]", Pairs], None]


def how(shelf: str) -> Merger:
    """What to do with a shelf's numbers: `gauge_<mode>` says it, all others are added up."""
    return _MERGERS.get(_mode(shelf), add)


def keeps_apart(shelf: str) -> bool:
    """Whether the process is a label, because nothing is put together."""
    return _mode(shelf) == "all"


def _mode(shelf: str) -> str:
    kind, _, mode = shelf.partition("_")
    return (mode.removeprefix("live") or "all") if kind == "gauge" else "sum"


def add(values: Values, _stamps: Stamps, doubles: "memoryview[float]", pairs: Pairs) -> None:
    for index, place in pairs:
        values[index] += doubles[place]  # type: ignore[operator]  # what is added up begins at 0.0


def _take(values: Values, _stamps: Stamps, doubles: "memoryview[float]", pairs: Pairs) -> None:
    for index, place in pairs:
        values[index] = doubles[place]


def _least(values: Values, _stamps: Stamps, doubles: "memoryview[float]", pairs: Pairs) -> None:
    for index, place in pairs:
        value, before = doubles[place], values[index]
        values[index] = value if before is None or value < before else before


def _most(values: Values, _stamps: Stamps, doubles: "memoryview[float]", pairs: Pairs) -> None:
    for index, place in pairs:
        value, before = doubles[place], values[index]
        values[index] = value if before is None or value > before else before


def _latest(values: Values, stamps: Stamps, doubles: "memoryview[float]", pairs: Pairs) -> None:
    for index, place in pairs:
        if stamps.get(index, 0.0) < doubles[place + 1]:
            values[index], stamps[index] = doubles[place], doubles[place + 1]


_MERGERS: dict[str, Merger] = {"all": _take, "min": _least, "max": _most, "mostrecent": _latest}
