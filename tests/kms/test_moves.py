"""A vault that changes the keeper of its root key: from a file to AWS, on to an HSM and back, and nothing is lost."""

import pytest

from scaivault.crypto.kms.local import write_key_file
from tests.house import furnish, opened
from tests.kms import hsm

PREVIOUS = "PREVIOUS_"
NOWHERE = {"KMS_LOCAL_KEY_FILE": ""}  # the house's own key file, unset


@pytest.fixture
def keepers(aws_kms, hsm_token, tmp_path):
    """The settings of each, and of another key file."""
    other = tmp_path / "other.key"
    write_key_file(other, development=True)
    return {
        "local": {"KMS_PROVIDER": "local", "KMS_LOCAL_KEY_FILE": str(tmp_path / "kms.key")},
        "aws": {**NOWHERE, "KMS_PROVIDER": "aws", "KMS_KEY_ID": aws_kms.add_key(), "KMS_ENDPOINT_URL": aws_kms.url},
        "pkcs11": {
            **NOWHERE,
            "KMS_PROVIDER": "pkcs11",
            "KMS_PKCS11_LIBRARY": str(hsm.LIBRARY),
            "KMS_PKCS11_TOKEN_LABEL": hsm_token.label,
            "KMS_PKCS11_PIN_FILE": str(hsm_token.pin_file),
            "KMS_PKCS11_KEY_LABEL": hsm.ROOT_LABEL,
        },
        "another file": {"KMS_PROVIDER": "local", "KMS_LOCAL_KEY_FILE": str(other)},
    }


def previous(settings):
    return {PREVIOUS + name: text for name, text in settings.items() if text}


def test_secrets_and_tokens_outlive_every_move(keepers, database_url, redis_url, tmp_path):
    def house(keeper, before=None):
        settings = keepers[keeper] | (previous(keepers[before]) if before else {})
        return opened(database_url, redis_url, tmp_path, **settings)

    with house("local") as first:
        ada, bob = furnish(first)
        ada.write("app/db", {"key": "of ada"})
        bob.write("app/db", {"key": "of bob"})
    for before, keeper in (("local", "aws"), ("aws", "pkcs11"), ("pkcs11", "another file")):
        with house(keeper, before) as moving:
            # Readable before, while both are there, and proven to be under the new one alone afterwards.
            assert moving.voice(ada.token).get("/v1/secrets/app/db").json["data"] == {"key": "of ada"}
            proof = moving.services.rotation.rewrap_root(lambda _done, _total: None)
            assert proof.is_complete
            assert proof.rewrapped > 0
        with house(keeper) as moved:
            for voice, value in ((ada, "of ada"), (bob, "of bob")):
                assert moved.voice(voice.token).get("/v1/secrets/app/db").json["data"] == {"key": value}
            ready = moved.voice(ada.token).get("/v1/health/detailed").json["checks"]["encryption"]
            assert (ready["status"], ready["key_status"]) == ("ok", "active")


def test_without_the_previous_keeper_nothing_opens_and_nothing_is_lost(keepers, database_url, redis_url, tmp_path):
    with opened(database_url, redis_url, tmp_path, **keepers["local"]) as first:
        ada, _ = furnish(first)
        ada.write("app/db", {"key": "of ada"})
    with opened(database_url, redis_url, tmp_path, **keepers["another file"]) as lost:
        assert lost.voice(ada.token).get("/v1/secrets/app/db").status_code == 503
    with opened(database_url, redis_url, tmp_path, **keepers["local"]) as found:
        assert found.voice(ada.token).get("/v1/secrets/app/db").json["data"] == {"key": "of ada"}
