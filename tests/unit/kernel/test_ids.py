"""Ids carry the millisecond of their making, in the layout of RFC 9562, and sort by it."""

import re
import time
import uuid
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from scaivault.kernel import ids

milliseconds = st.integers(0, 2**48 - 1)
noises = st.binary(min_size=10, max_size=10)


def made_at(millisecond, noise, beyond=0):
    """The number that would be made then, by that randomness; `beyond` are nanoseconds into the millisecond."""
    with (
        patch.object(ids.time, "time_ns", lambda: millisecond * 1_000_000 + beyond),
        patch.object(ids.os, "urandom", lambda size: noise[:size]),
    ):
        return ids.uuid7()


@given(milliseconds, noises, st.integers(0, 999_999))
def test_version_variant_and_time_stand_where_the_standard_puts_them(millisecond, noise, beyond):
    made = uuid.UUID(int=made_at(millisecond, noise, beyond))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == millisecond


@given(milliseconds, noises)
def test_every_other_bit_is_random(millisecond, noise):
    told = 0xF << 76 | 0x3 << 62
    assert made_at(millisecond, noise) & (2**80 - 1) & ~told == int.from_bytes(noise, "big") & ~told


@given(milliseconds, milliseconds, noises, noises)
def test_what_was_made_in_an_earlier_millisecond_sorts_first(one, other, noise, other_noise):
    earlier, later = sorted([one, other])
    if earlier < later:
        assert f"{made_at(earlier, noise):032x}" < f"{made_at(later, other_noise):032x}"


def test_an_id_is_its_prefix_and_32_small_hex_digits():
    assert re.fullmatch("pol_[0-9a-f]{32}", ids.new_id("pol"))


def test_ids_of_one_moment_differ():
    assert len({ids.new_id("log") for _ in range(10_000)}) == 10_000


def test_an_id_tells_the_present():
    before = time.time_ns() // 1_000_000
    told = int(ids.new_id("tok").removeprefix("tok_")[:12], 16)
    assert before <= told <= time.time_ns() // 1_000_000
