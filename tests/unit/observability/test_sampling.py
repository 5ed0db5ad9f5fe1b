"""Which traces are kept: the share that was asked for, of ids of every shape, and nobody's choice but ours."""

import random
import uuid
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.edge.origin import trace_of
from scaivault.observability.traces.sampling import MOST_WISHES_PER_SECOND, Sampling

MANY = 20_000
KEY = b"a key of its own"
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def uuid4(dice, _number):
    return str(uuid.UUID(int=dice.getrandbits(128), version=4))


def uuid7(dice, number):
    instant = 1_790_000_000_000 + 3 * number
    return str(uuid.UUID(int=instant << 80 | 7 << 76 | dice.getrandbits(12) << 64 | 0b10 << 62 | dice.getrandbits(62)))


def ulid(dice, _number):
    return "01K" + "".join(dice.choices(CROCKFORD, k=23))


def counted(_dice, number):
    return f"job-{number}"


def low_bits_only(_dice, number):
    return f"{number + 1:032x}"


def all_random(dice, _number):
    return f"{dice.getrandbits(128):032x}"


SHAPES = [uuid4, uuid7, ulid, counted, low_bits_only, all_random]


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_shape_of_request_id_is_kept_as_often_as_asked(shape, share):
    """Within five standard deviations of the binomial distribution; the dice are loaded, so it is always the same."""
    dice, sampling = random.Random(7), Sampling(share, KEY)
    kept = sum(sampling.keeps(trace_of(None, shape(dice, number)).trace_id, None) for number in range(MANY))
    assert abs(kept - MANY * share) < 5 * sqrt(MANY * share * (1 - share))


@pytest.mark.parametrize("place", [0, 6, 8, 15], ids=lambda place: f"byte {place}")
def test_no_part_of_a_uuid_decides(place):
    """Chi-square over the sixteen upper halves of a byte; 44 is beyond 1 in 10,000 for fifteen degrees of freedom."""
    dice, sampling = random.Random(8), Sampling(0.5, KEY)
    seen = {}
    for number in range(MANY):
        trace_id = trace_of(None, uuid4(dice, number)).trace_id
        kept, all_of_it = seen.get(trace_id[place * 2], (0, 0))
        seen[trace_id[place * 2]] = (kept + sampling.keeps(trace_id, None), all_of_it + 1)
    assert sum((kept - whole / 2) ** 2 / (whole / 4) for kept, whole in seen.values()) < 44


@given(st.text("0123456789abcdef", min_size=32, max_size=32))
def test_none_and_all_mean_none_and_all(trace_id):
    assert not Sampling(0).keeps(trace_id, None)
    assert Sampling(1).keeps(trace_id, None)


@given(st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_trace_is_kept_whole(trace_id):
    sampling = Sampling(0.5)
    assert len({sampling.keeps(trace_id, None) for _ in range(5)}) == 1


def test_nobody_can_know_which_ids_are_kept():
    """Ids that one process keeps are to another as good as any."""
    ours, another = Sampling(0.1), Sampling(0.1)
    kept = [trace_id for trace_id in (f"{number:032x}" for number in range(MANY)) if ours.keeps(trace_id, None)]
    assert 0 < sum(another.keeps(trace_id, None) for trace_id in kept) < len(kept) / 2


class TestWishes:
    @pytest.fixture
    def clock(self):
        return [1_000.0]

    @pytest.fixture
    def sampling(self, clock):
        return Sampling(0, monotonic=lambda: clock[0])

    def granted(self, sampling, many=100):
        return sum(sampling.keeps(f"{number:032x}", True) for number in range(many))

    def test_a_caller_who_keeps_his_trace_is_followed(self, sampling):
        assert sampling.keeps("a" * 32, True)

    def test_a_caller_who_does_not_keep_it_is_followed(self):
        assert not Sampling(1).keeps("a" * 32, False)

    def test_no_more_are_granted_than_ten_a_second(self, sampling, clock):
        assert self.granted(sampling) == MOST_WISHES_PER_SECOND
        clock[0] += 0.5
        assert self.granted(sampling) == MOST_WISHES_PER_SECOND / 2
        clock[0] += 3_600
        assert self.granted(sampling) == MOST_WISHES_PER_SECOND

    def test_above_that_the_share_counts_as_for_everybody(self, clock):
        sampling = Sampling(0.5, KEY, lambda: clock[0])
        kept = self.granted(sampling, MANY)
        assert abs(kept - MANY / 2) < 5 * sqrt(MANY / 4) + MOST_WISHES_PER_SECOND

    def test_who_has_no_caller_is_kept_by_the_share_alone(self, sampling):
        assert not any(sampling.keeps(f"{number:032x}", None) for number in range(100))
