"""Files that have a turn of their own are there, and each begins where it belongs."""

from pathlib import Path

from tests.turns import LONGEST, TOGETHER, turn

CHECKOUT = Path(__file__).parents[2]


def test_every_file_that_is_named_is_there():
    assert [each for each in {*LONGEST, *TOGETHER, *TOGETHER.values()} if not (CHECKOUT / each).exists()] == []


def test_what_is_long_goes_before_what_is_not():
    assert [turn(each) for each in LONGEST] == list(range(len(LONGEST)))
    assert turn("tests/unit/test_turns.py") == len(LONGEST)
    assert all(turn(one) == turn(other) for one, other in TOGETHER.items())
