"""Whatever is renewed, by whom, and wherever it dies: every secret opens, for those who have heard and those who have not."""

from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind
from scaivault.crypto.envelope import Envelope, Place, Sealed
from scaivault.crypto.errors import TamperedCiphertext, UnknownKeyVersion
from scaivault.crypto.keyring import KeyRing
from scaivault.crypto.kms.succession import Succession
from scaivault.crypto.rotation import MOST_PAUSES, Batch, KeyRotation
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.plaintext import Plaintext
from tests.fakes import MemoryKeys, MemoryKeyStore

PARTNER = "ptn_1"
TENANTS = ["ten_1", "ten_2"]
PROCESSES = 2
NOW = datetime(2026, 7, 15, tzinfo=UTC)


class StandingClock:
    def now(self):
        return NOW


class Killed(BaseException):
    """This process is no more."""


class Mortal:
    """A store or holder of one process, which dies around its n-th call; half of the times with the call done."""

    def __init__(self, inner, life):
        self._inner = inner
        self._life = life

    def __getattr__(self, name):
        call = getattr(self._inner, name)

        def mortal(*arguments):
            self._life.spend()
            done = call(*arguments)
            self._life.spend()
            return done

        return mortal


class Life:
    def __init__(self, left):
        self.left = left

    def spend(self):
        self.left -= 1
        if self.left < 0:
            raise Killed


class MemorySecrets:
    """Sealed versions of both tenants, and the foreign key over them."""

    def __init__(self, store):
        self._store = store
        self.rows = {}
        self.held = set()
        store.references = lambda tenant_id, version: sum(
            place.tenant_id == tenant_id and version_of(sealed) == version for place, sealed in self.rows.items()
        )

    def add(self, place, sealed):
        """False if the key's version has been removed."""
        if version_of(sealed) not in self._store.tenants[place.tenant_id]:
            return False
        self.rows[place] = sealed
        return True

    def count_before(self, tenant_id, version):
        return len(self._older(tenant_id, version))

    def rewrap(self, keys):
        older = [place for place in self._older(keys.tenant_id, keys.active_version) if place not in self.held]
        return [self._batch(keys, older[start : start + 2]) for start in range(0, len(older), 2)]

    def _batch(self, keys, places):
        changed, unreadable = {}, []
        for place in places:
            sealed = self.rows[place]
            try:
                changed[place] = Sealed(sealed.sealed, Envelope.rewrap(keys, place, sealed.wrapped_key))
            except TamperedCiphertext:
                unreadable.append(place.path)
        self.rows.update(changed)
        return Batch(len(changed), unreadable)

    def _older(self, tenant_id, version):
        return [
            place
            for place, sealed in self.rows.items()
            if place.tenant_id == tenant_id and version_of(sealed) < version
        ]


def version_of(sealed):
    return aead.wrapping_version(Kind.BY_TENANT_KEY, sealed.wrapped_key)


def ring_of(store, roots, **more):
    return KeyRing(store, roots.active, previous_kms=roots.previous, seconds_to_keep=60, most_tenants=9, **more)


def rotation_of(store, secrets, roots, **more):
    return KeyRotation(store, ring_of(store, roots), roots, [secrets], StandingClock(), **more)


def opened(ring, place, sealed):
    """As a reader does it: once more with fresh keys, if those at hand are too old."""
    try:
        return Envelope.open(ring.for_tenant(place.partner_id, place.tenant_id), place, sealed)
    except UnknownKeyVersion:
        ring.forget(place.tenant_id)
        return Envelope.open(ring.for_tenant(place.partner_id, place.tenant_id), place, sealed)


def untold(_done, _total):
    pass


class Rotations(RuleBasedStateMachine):
    """Processes that seal and open with what they have cached, and operators who rotate and are killed."""

    def __init__(self):
        super().__init__()
        self.store = MemoryKeyStore()
        self.store.partner_of = dict.fromkeys(TENANTS, PARTNER)
        self.secrets = MemorySecrets(self.store)
        self.numbers = count(1)
        self.seconds = 0.0

    @initialize()
    def install(self):
        self.roots = Succession(MemoryKeys("memory:1"))
        self._start_processes()
        for ring in self.rings:
            ring.system_key("tokens")
        self.token_key = self.rings[0].system_key("tokens")

    def _start_processes(self):
        self.rings = [ring_of(self.store, self.roots, monotonic=lambda: self.seconds) for _ in range(PROCESSES)]

    @rule(process=st.integers(0, PROCESSES - 1), tenant_id=st.sampled_from(TENANTS))
    def seal(self, process, tenant_id):
        ring, number = self.rings[process], next(self.numbers)
        place = Place(PARTNER, tenant_id, f"s{number}", 1)
        plaintext = Plaintext(place.path.encode())
        if not self.secrets.add(place, Envelope.seal(ring.for_tenant(PARTNER, tenant_id), place, plaintext)):
            ring.forget(tenant_id)
            assert self.secrets.add(place, Envelope.seal(ring.for_tenant(PARTNER, tenant_id), place, plaintext))

    @rule(process=st.integers(0, PROCESSES - 1))
    def open_all(self, process):
        self._check_all(self.rings[process])

    @rule(seconds=st.sampled_from([10, 61]))
    def wait(self, seconds):
        self.seconds += seconds

    @rule(tenant_id=st.sampled_from(TENANTS), left=st.one_of(st.integers(0, 30), st.just(10**9)))
    def rotate_tenant(self, tenant_id, left):
        proof = self._until_killed(left, lambda rotation: rotation.rotate_tenant(tenant_id, untold))
        if proof and proof.version:
            assert set(self.store.tenants[tenant_id]) == {proof.version}

    @precondition(lambda self: self.store.partners)
    @rule(left=st.one_of(st.integers(0, 20), st.just(10**9)))
    def rotate_partner(self, left):
        proof = self._until_killed(left, lambda rotation: rotation.rotate_partner(PARTNER, untold))
        if proof:
            assert set(self.store.partners[PARTNER]) == {proof.version}

    @precondition(lambda self: self.roots.previous is None)
    @rule()
    def change_root(self):
        """New servers, which know both."""
        active = MemoryKeys(f"memory:{next(self.numbers) + 1}")
        self.roots = Succession(active, self.roots.active)
        self._start_processes()

    @precondition(lambda self: self.roots.previous is not None)
    @rule(left=st.one_of(st.integers(0, 20), st.just(10**9)))
    def rewrap_root(self, left):
        if self._until_killed(left, lambda rotation: rotation.rewrap_root(untold)):
            self.roots = Succession(self.roots.active)
            self._start_processes()

    def _until_killed(self, left, act):
        life = Life(left)
        rotation = rotation_of(Mortal(self.store, life), Mortal(self.secrets, life), self.roots)
        try:
            proof = act(rotation)
        except Killed:
            return None
        assert (proof.left, list(proof.unreadable)) == (0, [])
        return proof

    def _check_all(self, ring):
        for place, sealed in self.secrets.rows.items():
            assert opened(ring, place, sealed) == Plaintext(place.path.encode())

    @invariant()
    def everything_opens_for_a_process_that_starts_now(self):
        if hasattr(self, "roots"):
            ring = ring_of(self.store, self.roots)
            self._check_all(ring)
            assert ring.system_key("tokens") == self.token_key


Rotations.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestRotations = Rotations.TestCase


@pytest.fixture
def secrets(store):
    store.partner_of = dict.fromkeys(TENANTS, PARTNER)
    return MemorySecrets(store)


@pytest.fixture
def roots(kms):
    return Succession(kms)


def fill(store, secrets, roots, number=3):
    ring = ring_of(store, roots)
    for each in range(number):
        place = Place(PARTNER, "ten_1", f"s{each}", 1)
        assert secrets.add(place, Envelope.seal(ring.for_tenant(PARTNER, "ten_1"), place, Plaintext(b"x")))


def test_rows_that_others_hold_are_waited_for_between_passes(store, secrets, roots):
    fill(store, secrets, roots)
    secrets.held = set(secrets.rows)
    pauses = []

    def let_go(seconds):
        pauses.append(seconds)
        secrets.held.pop()

    proof = rotation_of(store, secrets, roots, pause=let_go).rotate_tenant("ten_1", untold)
    assert (proof.rewrapped, proof.left) == (3, 0)
    assert pauses


def test_rows_that_are_held_for_ever_end_it_and_it_can_go_on_later(store, secrets, roots):
    fill(store, secrets, roots)
    secrets.held, pauses = set(list(secrets.rows)[:1]), []
    with pytest.raises(Unavailable, match="1 rows are held"):
        rotation_of(store, secrets, roots, pause=pauses.append).rotate_tenant("ten_1", untold)
    assert len(pauses) == MOST_PAUSES
    secrets.held = set()
    assert rotation_of(store, secrets, roots).rotate_tenant("ten_1", untold).version == 2


def test_a_root_that_does_not_return_what_it_was_given_replaces_nothing(store, secrets, roots, kms):
    fill(store, secrets, roots)
    before = dict(store.partners[PARTNER])
    liar = MemoryKeys("memory:2")
    liar.decrypt = lambda *_: bytes(32)
    with pytest.raises(Unavailable, match="does not return"):
        rotation_of(store, secrets, Succession(liar, kms)).rewrap_root(untold)
    assert store.partners[PARTNER] == before


def test_a_root_that_is_away_ends_it_and_it_can_go_on_later(store, secrets, roots, kms):
    fill(store, secrets, roots)
    successor = MemoryKeys("memory:2")
    kms.broken = True
    with pytest.raises(Unavailable):
        rotation_of(store, secrets, Succession(successor, kms)).rewrap_root(untold)
    kms.broken = False
    assert rotation_of(store, secrets, Succession(successor, kms)).rewrap_root(untold).rewrapped == 1


def test_a_tenants_next_key_is_made_again_when_the_partners_was_retired_meanwhile(store, secrets, roots):
    fill(store, secrets, roots)
    rotation = rotation_of(store, secrets, roots)
    rotation._ring.partner_keys(PARTNER)
    store.before_add = lambda: rotation_of(store, secrets, roots).rotate_partner(PARTNER, untold)
    assert rotation.rotate_tenant("ten_1", untold).is_complete
    assert store.tenants["ten_1"][2].wrapping_version == 2


def test_a_tenant_key_that_does_not_open_keeps_the_partners_old_key(store, secrets, roots):
    fill(store, secrets, roots)
    ring_of(store, roots).for_tenant(PARTNER, "ten_2")
    store.tenants["ten_2"][1] = store.tenants["ten_1"][1]
    proof = rotation_of(store, secrets, roots).rotate_partner(PARTNER, untold)
    assert (proof.rewrapped, proof.left, proof.unreadable) == (1, 1, ["tenant key ten_2 1"])
    assert set(store.partners[PARTNER]) == {1, 2}
