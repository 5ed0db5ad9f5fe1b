"""Durations: a number and a unit, from a second to a hundred years."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.kernel.durations import LONGEST, parse_duration
from scaivault.kernel.errors import InvalidDuration

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", timedelta(days=90)),
        ("48h", timedelta(days=2)),
        ("15m", timedelta(minutes=15)),
        ("1s", timedelta(seconds=1)),
        ("007d", timedelta(days=7)),
        ("36500d", LONGEST),
        ("876000h", LONGEST),
    ],
)
def test_examples(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "d",
        "90",
        "90 d",
        " 90d",
        "90d ",
        "90d\n",
        "-1d",
        "+1d",
        "1.5h",
        "1e3s",
        "1w",
        "1y",
        "90D",
        "1ms",
        "1h30m",
        "PT1H",
        "\u0663d",
        "\uff19d",
        "1_0d",
        "0x1d",
        "0s",
        "0d",
        "36501d",
        "999999999d",
        "1000000000s",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(InvalidDuration):
        parse_duration(text)


@given(st.integers(0, 10**9 - 1), st.sampled_from(sorted(UNITS)))
def test_a_number_of_a_unit_is_that_long_or_out_of_bounds(number, unit):
    length = timedelta(**{UNITS[unit]: number})
    if timedelta(seconds=1) <= length <= timedelta(days=36_500):
        assert parse_duration(f"{number}{unit}") == length
    else:
        with pytest.raises(InvalidDuration):
            parse_duration(f"{number}{unit}")


@given(st.text(max_size=12) | st.text("0123456789smhd-+. \n", max_size=12))
def test_any_text_is_a_duration_or_refused(text):
    try:
        parsed = parse_duration(text)
    except InvalidDuration:
        return
    assert timedelta(seconds=1) <= parsed <= LONGEST
    assert parsed == timedelta(**{UNITS[text[-1]]: int(text[:-1])})
