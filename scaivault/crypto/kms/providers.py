"""From what settings say of a root key to the service that holds it."""

from typing import TypeVar

from scaivault.crypto.kms.local import LocalKeys
from scaivault.crypto.kms.resilient import ResilientKeys
from scaivault.kernel.ports import KeyService
from scaivault.kernel.root_key import RootKey

Given = TypeVar("Given")
DEADLINE_SECONDS = 5.0


def key_service(root: RootKey, *, development: bool) -> KeyService:
    """The service that `root` names; nothing is connected before its first use."""
    match root.provider:
        case "local":
            return LocalKeys(_given(root.local_key_file), development=development)
        case "aws":
            return _aws(root)
        case "pkcs11":
            return _pkcs11(root)


def _aws(root: RootKey) -> KeyService:
    from scaivault.crypto.kms import aws  # noqa: PLC0415 - boto3 costs a worker 20 MB

    keys = aws.AwsKeys(_given(root.key_id), signing_key_arn=root.signing_key_id, endpoint_url=root.endpoint_url)
    return ResilientKeys(keys, attempt_seconds=aws.ATTEMPT_SECONDS, deadline_seconds=DEADLINE_SECONDS)


def _pkcs11(root: RootKey) -> KeyService:
    from scaivault.crypto.kms import pkcs11  # noqa: PLC0415 - native code, loaded only where there is a token

    keys = pkcs11.Pkcs11Keys(
        _given(root.pkcs11_library),
        _given(root.pkcs11_token_label),
        _given(root.pkcs11_pin_file),
        _given(root.pkcs11_key_label),
    )
    return ResilientKeys(keys, attempt_seconds=pkcs11.ATTEMPT_SECONDS, deadline_seconds=DEADLINE_SECONDS)


def _given(setting: Given | None) -> Given:
    """What Settings demands of the provider that is set."""
    if setting is None:
        raise ValueError("settings let a KMS_PROVIDER pass without what it needs")
    return setting
