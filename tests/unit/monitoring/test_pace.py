"""Durations compress, and nothing else of a rule does."""

import pytest

from tools.monitoring.rules.pace import REAL, Pace, durations_in, seconds

TENTH = Pace(60, 4)
EXPR = 'max_over_time(path_category:scaivault_requests:rate5m{job="a"}[5m:1m] offset 1d) > 5 and x{le="5m"} and rate(y[3d])'


def test_ranges_steps_and_offsets_are_compressed_and_names_are_not():
    assert TENTH.expression(EXPR) == EXPR.replace("[5m:1m]", "[5s:4s]").replace("1d)", "1440s)").replace("3d", "4320s")


def test_no_duration_becomes_shorter_than_the_shortest():
    assert [TENTH.duration(each) for each in ("1m", "15s", "0m", "10m")] == ["4s", "4s", "0m", "10s"]


def test_the_real_pace_changes_nothing():
    assert REAL.expression(EXPR) == EXPR
    assert REAL.duration("5m") == "5m"


def test_all_durations_of_an_expression_are_found():
    assert durations_in(EXPR) == ["5m", "1m", "1d", "3d"]


@pytest.mark.parametrize("wrong", ["5", "1h30m", "5w", ""])
def test_a_duration_has_one_unit(wrong):
    with pytest.raises(ValueError, match="not a duration"):
        seconds(wrong)
