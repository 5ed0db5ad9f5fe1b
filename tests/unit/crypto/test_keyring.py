from dataclasses import replace

import pytest

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind
from scaivault.crypto.chain import WrappedKey
from scaivault.crypto.errors import TamperedCiphertext, UnknownKeyVersion
from scaivault.crypto.keyring import KeyRing
from scaivault.crypto.keys import Key
from scaivault.kernel.errors import Unavailable
from tests.fakes import MemoryKeys


@pytest.fixture
def seen():
    return []


@pytest.fixture
def ring(store, kms, monotonic, seen):
    return KeyRing(store, kms, seconds_to_keep=60, most_tenants=3, monotonic=monotonic, on_cache=seen.append)


def another_process(store, kms):
    return KeyRing(store, kms, seconds_to_keep=60, most_tenants=3)


def test_the_first_use_makes_a_key_that_stays(ring, store, kms):
    keys = ring.for_tenant("ptn_1", "ten_1")
    assert (keys.partner_id, keys.tenant_id, keys.active_version) == ("ptn_1", "ten_1", 1)
    assert another_process(store, kms).for_tenant("ptn_1", "ten_1") == keys


def test_stored_keys_name_what_wrapped_them(ring, store, kms):
    ring.for_tenant("ptn_1", "ten_1")
    ring.system_key("cursors")
    assert store.partners["ptn_1"][1].kms_key_id == store.system["cursors"].kms_key_id == kms.key_id
    assert store.tenants["ten_1"][1].wrapping_version == 1


def test_every_tenant_has_a_key_of_its_own(ring):
    keys = [ring.for_tenant("ptn_1", f"ten_{n}").by_version[1].reveal() for n in range(3)]
    assert len(set(keys)) == 3


def test_any_number_of_tenants_costs_one_call_to_the_key_service(ring, store, kms):
    for number in range(9):
        another_process(store, kms).for_tenant("ptn_1", f"ten_{number}")
    kms.calls.clear()
    for number in range(9):
        ring.for_tenant("ptn_1", f"ten_{number}")
    assert kms.calls == ["decrypt"]


def test_the_cache_tells_how_it_fares(ring, seen, monotonic):
    ring.for_tenant("ptn_1", "ten_1")
    ring.for_tenant("ptn_1", "ten_1")
    monotonic.seconds += 60
    ring.for_tenant("ptn_1", "ten_1")
    assert seen == ["miss", "hit", "miss"]


def test_kept_keys_serve_while_the_key_service_is_away(ring, kms, monotonic):
    keys = ring.for_tenant("ptn_1", "ten_1")
    kms.broken = True
    monotonic.seconds += 59.9
    assert ring.for_tenant("ptn_1", "ten_1") == keys


def test_expired_keys_are_not_served_while_the_key_service_is_away(ring, kms, monotonic):
    keys = ring.for_tenant("ptn_1", "ten_1")
    kms.broken = True
    monotonic.seconds += 60
    for _ in range(2):
        with pytest.raises(Unavailable):
            ring.for_tenant("ptn_1", "ten_1")
    kms.broken = False
    assert ring.for_tenant("ptn_1", "ten_1") == keys


def test_a_tenant_opened_late_does_not_outlive_its_partners_keys(ring, kms, monotonic):
    ring.for_tenant("ptn_1", "ten_1")
    monotonic.seconds += 59
    ring.for_tenant("ptn_1", "ten_2")
    kms.broken = True
    monotonic.seconds += 1
    with pytest.raises(Unavailable):
        ring.for_tenant("ptn_1", "ten_2")


def test_the_time_to_keep_runs_from_before_the_key_service_is_asked(ring, kms, monotonic):
    def slowly(*_):
        monotonic.seconds += 20

    kms.before = slowly
    ring.for_tenant("ptn_1", "ten_1")
    kms.before, kms.broken = None, True
    monotonic.seconds += 21
    with pytest.raises(Unavailable):
        ring.for_tenant("ptn_1", "ten_1")


def test_the_least_recently_used_tenant_goes_first(ring, store):
    for tenant_id in ("ten_1", "ten_2", "ten_3", "ten_1", "ten_4"):
        ring.for_tenant("ptn_1", tenant_id)
    store.reads.clear()
    for tenant_id in ("ten_1", "ten_3", "ten_4", "ten_2"):
        ring.for_tenant("ptn_1", tenant_id)
    assert store.reads == ["ten_2"]


def test_another_process_that_was_faster_with_the_partner_key_wins(ring, store, kms):
    store.before_add = lambda: another_process(store, kms).for_tenant("ptn_1", "ten_1")
    assert ring.for_tenant("ptn_1", "ten_1") == another_process(store, kms).for_tenant("ptn_1", "ten_1")


def test_another_process_that_was_faster_with_the_tenant_key_wins(ring, store, kms):
    ring.for_tenant("ptn_1", "ten_0")
    store.before_add = lambda: another_process(store, kms).for_tenant("ptn_1", "ten_1")
    assert ring.for_tenant("ptn_1", "ten_1") == another_process(store, kms).for_tenant("ptn_1", "ten_1")


def test_another_process_that_was_faster_with_the_system_key_wins(ring, store, kms):
    store.before_add = lambda: another_process(store, kms).system_key("tokens")
    assert ring.system_key("tokens") == another_process(store, kms).system_key("tokens")


def test_a_key_that_is_not_kept_is_not_used(ring, store):
    store.add_tenant_key = lambda *_: True
    with pytest.raises(Unavailable):
        ring.for_tenant("ptn_1", "ten_1")


def test_a_failure_is_not_kept(ring, kms):
    kms.broken = True
    with pytest.raises(Unavailable):
        ring.for_tenant("ptn_1", "ten_1")
    kms.broken = False
    assert ring.for_tenant("ptn_1", "ten_1").active_version == 1


def test_the_wrong_partner_does_not_get_a_tenants_cached_keys(ring):
    ring.for_tenant("ptn_1", "ten_1")
    with pytest.raises(TamperedCiphertext):
        ring.for_tenant("ptn_2", "ten_1")


def test_a_tenants_key_moved_to_another_tenant_does_not_open(ring, store):
    ring.for_tenant("ptn_1", "ten_1")
    store.tenants["ten_2"] = dict(store.tenants["ten_1"])
    with pytest.raises(TamperedCiphertext):
        ring.for_tenant("ptn_1", "ten_2")


def test_a_partners_key_moved_to_another_partner_does_not_open(ring, store):
    ring.for_tenant("ptn_1", "ten_1")
    store.partners["ptn_2"] = dict(store.partners["ptn_1"])
    with pytest.raises(Unavailable):
        ring.for_tenant("ptn_2", "ten_2")


def test_a_system_key_moved_to_another_purpose_does_not_open(ring, store):
    ring.system_key("tokens")
    store.system["cursors"] = store.system["tokens"]
    with pytest.raises(Unavailable):
        ring.system_key("cursors")


@pytest.mark.parametrize(("keys", "refusal"), [("partners", Unavailable), ("tenants", TamperedCiphertext)])
def test_a_key_renumbered_in_its_table_does_not_open(store, kms, keys, refusal):
    another_process(store, kms).for_tenant("ptn_1", "ten_1")
    (rows,) = getattr(store, keys).values()
    rows[1] = replace(rows[1], version=2)
    with pytest.raises(refusal):
        another_process(store, kms).for_tenant("ptn_1", "ten_1")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_root_that_returns_no_32_byte_key_is_not_believed(ring, store, kms, length):
    wrapped = kms.encrypt(bytes(length), aead.aad("partner-key", "ptn_1", "1"))
    store.add_partner_key("ptn_1", WrappedKey(1, wrapped, kms.key_id, None))
    with pytest.raises(Unavailable):
        ring.for_tenant("ptn_1", "ten_1")


def rotate_tenant(store, kms, version, partner_version=1):
    """A next tenant key, as a rotation in another process would add it."""
    partner_row = store.partners["ptn_1"][partner_version]
    context = aead.aad("partner-key", "ptn_1", str(partner_version))
    partner_key = Key(kms.decrypt(partner_row.wrapped, context))
    context = aead.aad("tenant-key", "ptn_1", "ten_1", str(version))
    wrapped = aead.wrap(Kind.BY_PARTNER_KEY, partner_key, partner_version, Key.fresh(), context)
    store.add_tenant_key("ten_1", WrappedKey(version, wrapped, None, partner_version))


def rotate_partner(store, kms):
    wrapped = kms.encrypt(Key.fresh().reveal(), aead.aad("partner-key", "ptn_1", "2"))
    store.add_partner_key("ptn_1", WrappedKey(2, wrapped, kms.key_id, None))


def test_forgetting_a_tenant_finds_its_new_version_without_the_key_service(ring, store, kms):
    first = ring.for_tenant("ptn_1", "ten_1")
    rotate_tenant(store, kms, 2)
    assert ring.for_tenant("ptn_1", "ten_1") == first
    kms.broken = True
    ring.forget("ten_1")
    keys = ring.for_tenant("ptn_1", "ten_1")
    assert (keys.active_version, keys.by_version[1]) == (2, first.by_version[1])


def test_forgetting_one_tenant_keeps_the_others(ring, seen):
    ring.for_tenant("ptn_1", "ten_1")
    ring.for_tenant("ptn_1", "ten_2")
    ring.forget("ten_1")
    seen.clear()
    ring.for_tenant("ptn_1", "ten_2")
    assert seen == ["hit"]


def test_a_new_partner_key_is_found_where_it_is_met(ring, store, kms):
    ring.for_tenant("ptn_1", "ten_1")
    rotate_partner(store, kms)
    rotate_tenant(store, kms, 2, partner_version=2)
    ring.forget("ten_1")
    assert ring.for_tenant("ptn_1", "ten_1").active_version == 2


def test_a_partner_key_that_nobody_has_is_asked_for_once_more_and_no_further(ring, store, kms):
    ring.for_tenant("ptn_1", "ten_1")
    rotate_partner(store, kms)
    rotate_tenant(store, kms, 2, partner_version=2)
    del store.partners["ptn_1"][2]
    ring.forget("ten_1")
    kms.calls.clear()
    with pytest.raises(UnknownKeyVersion):
        ring.for_tenant("ptn_1", "ten_1")
    assert kms.calls == ["decrypt"]


def test_a_tenants_first_key_under_a_retired_partner_key_is_made_again_under_the_new_one(ring, store, kms):
    ring.for_tenant("ptn_1", "ten_1")

    def rotated_meanwhile():
        rotate_partner(store, kms)
        del store.partners["ptn_1"][1]

    store.before_add = rotated_meanwhile
    ring.for_tenant("ptn_1", "ten_2")
    assert store.tenants["ten_2"][1].wrapping_version == 2


def test_keys_are_read_afresh_when_the_tenants_epoch_has_moved(store, kms):
    epochs = {"ten_1": 0}
    ring = KeyRing(store, kms, seconds_to_keep=60, most_tenants=3, epoch_of=lambda tenant: epochs[tenant])
    ring.for_tenant("ptn_1", "ten_1")
    rotate_tenant(store, kms, 2)
    assert ring.for_tenant("ptn_1", "ten_1").active_version == 1
    epochs["ten_1"] = 7
    kms.broken = True
    assert ring.for_tenant("ptn_1", "ten_1").active_version == 2


def test_each_root_key_opens_what_it_wrapped(store, kms):
    another_process(store, kms).for_tenant("ptn_1", "ten_1")
    successor = MemoryKeys("memory:2")
    ring = KeyRing(store, successor, previous_kms=kms, seconds_to_keep=60, most_tenants=3)
    ring.for_tenant("ptn_2", "ten_2")
    assert ring.for_tenant("ptn_1", "ten_1") == another_process(store, kms).for_tenant("ptn_1", "ten_1")
    assert (store.partners["ptn_1"][1].kms_key_id, store.partners["ptn_2"][1].kms_key_id) == (
        kms.key_id,
        successor.key_id,
    )


def test_a_row_of_a_root_key_that_nobody_has_does_not_open(store, kms):
    another_process(store, kms).for_tenant("ptn_1", "ten_1")
    ring = KeyRing(
        store, MemoryKeys("memory:3"), previous_kms=MemoryKeys("memory:2"), seconds_to_keep=60, most_tenants=3
    )
    with pytest.raises(Unavailable):
        ring.for_tenant("ptn_1", "ten_1")


def test_a_new_tenants_first_key_goes_under_the_newest_partner_key(ring, store, kms):
    ring.for_tenant("ptn_1", "ten_1")
    rotate_partner(store, kms)
    ring.forget_partner("ptn_1")
    ring.for_tenant("ptn_1", "ten_2")
    assert store.tenants["ten_2"][1].wrapping_version == 2


def test_system_keys_outlast_the_key_service(ring, kms, monotonic):
    key = ring.system_key("tokens")
    kms.broken = True
    monotonic.seconds += 1e9
    assert ring.system_key("tokens") == key
    with pytest.raises(Unavailable):
        ring.system_key("cursors")


def test_system_keys_are_independent_and_stay(ring, store, kms):
    assert ring.system_key("tokens") != ring.system_key("cursors")
    assert another_process(store, kms).system_key("tokens") == ring.system_key("tokens")


def test_another_root_key_opens_nothing(ring, store):
    ring.for_tenant("ptn_1", "ten_1")
    with pytest.raises(Unavailable):
        another_process(store, MemoryKeys()).for_tenant("ptn_1", "ten_1")
