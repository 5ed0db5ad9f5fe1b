import pytest

from scaivault.crypto.kms.local import LocalKeys
from scaivault.crypto.kms.succession import Succession
from scaivault.kernel.errors import Unavailable
from tests.fakes import MemoryKeys

ACTIVE, PREVIOUS = MemoryKeys("memory:2"), MemoryKeys("memory:1")


@pytest.mark.parametrize(
    ("kms_key_id", "asked"),
    [("memory:2", ACTIVE), ("memory:1", PREVIOUS), ("memory:0", ACTIVE), (None, ACTIVE)],
)
def test_the_service_that_a_row_names_is_asked_and_the_active_one_about_strangers(kms_key_id, asked):
    assert Succession(ACTIVE, PREVIOUS).named(kms_key_id) is asked


def test_without_a_previous_one_there_is_no_question():
    assert Succession(ACTIVE).named("memory:1") is ACTIVE


def test_a_previous_service_that_is_away_hinders_nobody_who_does_not_need_it(tmp_path):
    succession = Succession(ACTIVE, LocalKeys(tmp_path / "away", development=True))
    assert succession.named("memory:2") is ACTIVE
    with pytest.raises(Unavailable):
        succession.named("local:0123456789abcdef")
