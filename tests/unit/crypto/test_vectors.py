import json
import runpy
from pathlib import Path

import pytest

from scaivault.crypto.chain import WrappedKey
from scaivault.crypto.envelope import Envelope, Place, Sealed
from scaivault.crypto.errors import TamperedCiphertext
from scaivault.crypto.keyring import KeyRing
from scaivault.crypto.keys import Key, TenantKeys
from scaivault.crypto.kms.local import LocalKeys
from tests.fakes import MemoryKeyStore

FOLDER = Path(__file__).parents[2] / "vectors"
VECTORS = json.loads((FOLDER / "envelope_v1.json").read_text())
BY_VERSION = {int(version): Key(bytes.fromhex(key)) for version, key in VECTORS["tenant_keys"].items()}


def open_vector(vector):
    place = Place(**vector["place"])
    # The tenant's own keys under whatever name the place has: what must refuse is the binding, not a mere other key.
    keys = TenantKeys(place.partner_id, place.tenant_id, BY_VERSION)
    sealed = Sealed(bytes.fromhex(vector["sealed"]), bytes.fromhex(vector["wrapped_key"]))
    return Envelope.open(keys, place, sealed).reveal()


@pytest.mark.parametrize("vector", VECTORS["opens"], ids=lambda vector: vector["name"])
def test_an_envelope_of_format_1_opens(vector):
    assert open_vector(vector) == bytes.fromhex(vector["plaintext"])


@pytest.mark.parametrize("vector", VECTORS["fails"], ids=lambda vector: vector["name"])
def test_a_spoilt_envelope_does_not_open(vector):
    spoilt = {**VECTORS["opens"][0], **vector["change"]}
    assert spoilt != VECTORS["opens"][0]
    with pytest.raises(TamperedCiphertext):
        open_vector(spoilt)


@pytest.fixture
def chain():
    return VECTORS["chain"]


@pytest.fixture
def root(chain, tmp_path):
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(chain["file"])
    return LocalKeys(path, development=False)


def test_the_local_root_keeps_its_id_and_its_signatures(chain, root):
    assert root.key_id == chain["key_id"]
    assert root.sign(bytes.fromhex(chain["message"])) == bytes.fromhex(chain["signature"])


def test_the_key_ring_opens_the_chain_of_format_1(chain, root):
    store = MemoryKeyStore()
    version = chain["partner_key_version"]
    wrapped = bytes.fromhex(chain["wrapped_partner_key"])
    store.add_partner_key(chain["partner_id"], WrappedKey(version, wrapped, root.key_id, None))
    for number, tenant_key in chain["wrapped_tenant_keys"].items():
        store.add_tenant_key(chain["tenant_id"], WrappedKey(int(number), bytes.fromhex(tenant_key), None, version))
    ring = KeyRing(store, root, seconds_to_keep=60, most_tenants=9)
    assert ring.for_tenant(chain["partner_id"], chain["tenant_id"]).by_version == BY_VERSION


def test_the_second_implementation_makes_the_very_same_vectors():
    assert runpy.run_path(str(FOLDER / "make_envelope_v1.py"))["vectors"]() == VECTORS
