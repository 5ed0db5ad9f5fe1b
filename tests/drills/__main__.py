"""`make drill`: the drills, told as they go, and the page of evidence written anew if all of it was seen."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The page is about to be written: whether it is up to date is for `make test` to say.
NOT_YET = "tests/drills/test_drills.py::test_the_evidence_is_of_these_alerts"


class Keeper:
    """Tells how it goes, and keeps what was seen."""

    def __init__(self):
        self.__name__ = "keeper"  # by which pytest knows it, and the drills find it
        self._drill = self._pace = None

    def tell(self, line):
        print(line, flush=True)  # noqa: T201 - a terminal program prints

    def keep(self, drill, pace):
        self._drill, self._pace = drill, pace

    def write(self):
        from tests.drills import evidence  # noqa: PLC0415 - pytest wants to be the first to import what it runs

        page = HERE.parents[1] / evidence.PAGE
        page.write_text(evidence.page(self._drill.evidence, self._drill.counted, self._pace))
        self.tell(f"{evidence.PAGE} is written.")


def main():
    keeper = Keeper()
    options = ["-p", "no:xdist", "--capture=no", "--durations=10", f"--deselect={NOT_YET}"]
    status = pytest.main([str(HERE), *options], [keeper])
    if status == 0:
        keeper.write()
    return status


if __name__ == "__main__":
    sys.exit(main())
