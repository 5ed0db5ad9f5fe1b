"""From the environment to a key service that works."""

import pytest

from scaivault.bootstrap.base import root_key_service
from scaivault.crypto.kms.resilient import ResilientKeys
from scaivault.settings import Settings
from tests.kms import hsm

KEY = bytes(range(32))
ELSEWHERE = {
    "SCAIVAULT_ENV": "development",
    "BASE_URL": "https://vault.example.com",
    "DATABASE_URL": "postgresql://nowhere",
    "REDIS_URL": "redis://nowhere",
}


@pytest.fixture
def aws(aws_kms):
    return {"KMS_PROVIDER": "aws", "KMS_KEY_ID": aws_kms.add_key(), "KMS_ENDPOINT_URL": aws_kms.url}


@pytest.fixture
def pkcs11(hsm_token):
    return {
        "KMS_PROVIDER": "pkcs11",
        "KMS_PKCS11_LIBRARY": str(hsm.LIBRARY),
        "KMS_PKCS11_TOKEN_LABEL": hsm_token.label,
        "KMS_PKCS11_PIN_FILE": str(hsm_token.pin_file),
        "KMS_PKCS11_KEY_LABEL": hsm.ROOT_LABEL,
    }


@pytest.mark.parametrize("provider", ["aws", "pkcs11"])
def test_a_remote_provider_works_and_is_guarded(request, provider):
    keys = root_key_service(Settings.from_env(ELSEWHERE | request.getfixturevalue(provider)))
    assert isinstance(keys, ResilientKeys)
    assert keys.decrypt(keys.encrypt(KEY, b"here"), b"here") == KEY
