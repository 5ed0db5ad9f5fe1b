"""A root key in AWS KMS, or in whatever speaks its protocol at another endpoint.

The caller's context goes along as EncryptionContext `scaivault = v1:<base64>`, which KMS binds to the ciphertext as
additional data. Base64 is printable, as KMS demands, and takes no two contexts to one text; the prefix keeps an empty
one from being an empty text. CloudTrail logs it in clear: it shows which partner's key or which system key was opened,
by the vault's ids, and that is what the trail is for. No path, name or value is ever part of a root context. Key
policies can demand its presence (`kms:EncryptionContextKeys`).

KMS derives a key per ciphertext from its own randomness, so there is no nonce of ours to repeat.
"""

import base64
import hashlib
import threading
from collections.abc import Mapping
from typing import Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own name
    CredentialRetrievalError,
    HTTPClientError,
    MetadataRetrievalError,
)
from botocore.parsers import ResponseParserError

from scaivault.crypto.errors import KeyServiceAway, TamperedCiphertext
from scaivault.crypto.keys import KEY_BYTES, Key
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyState

CONNECT_SECONDS = 1.0
READ_SECONDS = 2.0
ATTEMPT_SECONDS = CONNECT_SECONDS + READ_SECONDS
_MOST_SEALED_BYTES = 6_144  # KMS takes no longer ones
_FIRST_SERVER_FAILURE = 500

# KMS says it itself: not what was wrapped, not for this context, or not by this key, which we always name.
_TAMPERED: Final = {"InvalidCiphertextException", "IncorrectKeyException"}
_PASSING: Final = {
    "DependencyTimeoutException",
    "KMSInternalException",
    "KeyUnavailableException",
    "LimitExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_REFUSALS: Final = {
    "AccessDeniedException": "its key may not be used with these credentials",
    "DisabledException": "its key is disabled",
    "ExpiredTokenException": "the credentials have expired",
    "IncompleteSignature": "the credentials are not accepted",
    "InvalidKeyUsageException": "its key is not meant for this",
    "InvalidSignatureException": "the credentials are not accepted",
    "KMSInvalidStateException": "its key is not in a state to be used",
    "NotFoundException": "there is no such key",
    "UnrecognizedClientException": "the credentials are not accepted",
}
_STATES: Final = {
    "Enabled": KeyState.ACTIVE,
    "Updating": KeyState.ACTIVE,  # of a multi-region key, which stays in use meanwhile
    "Disabled": KeyState.DISABLED,
    "PendingDeletion": KeyState.PENDING_DELETION,
    "PendingReplicaDeletion": KeyState.PENDING_DELETION,
}
# Both digests are SHA-256, so that either is given the same 32 bytes.
_SIGNING_ALGORITHMS: Final = ("ECDSA_SHA_256", "RSASSA_PSS_SHA_256")


class _Operation(Protocol):
    def __call__(self, **parameters: object) -> Mapping[str, object]: ...


class AwsKeys:
    """kernel.ports.KeyService over KMS keys named by their ARNs, with AWS's standard credential chain.

    An alias is no name for a root key: whoever may change it could put another key behind it.
    """

    def __init__(
        self,
        key_arn: str,
        *,
        signing_key_arn: str | None = None,
        endpoint_url: str | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._key_arn = key_arn
        self._signing_key_arn = signing_key_arn
        self._endpoint_url = endpoint_url
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        # Made on first use, which is after the fork: two processes on one TLS connection would garble it. boto3's
        # sessions are not safe to share between threads, its clients are: one session, under a lock, makes the client.
        self._making = threading.Lock()
        self._client: object | None = None
        self._signing_algorithm: str | None = None

    @property
    def key_id(self) -> str:
        """The ARN of the root key."""
        return self._key_arn

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        """Wrap 32 bytes; they open only with the same `context`."""
        key = Key(plaintext)
        answer = self._ask(
            "encrypt", KeyId=self._key_arn, Plaintext=key.reveal(), EncryptionContext=_encryption_context(context)
        )
        return _bytes(answer, "CiphertextBlob", self._key_arn)

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        """Undo `encrypt`, or TamperedCiphertext."""
        # KMS calls these a malformed request, which is what it calls our mistakes too.
        if not 0 < len(sealed) <= _MOST_SEALED_BYTES:
            raise TamperedCiphertext
        answer = self._ask(
            "decrypt", KeyId=self._key_arn, CiphertextBlob=sealed, EncryptionContext=_encryption_context(context)
        )
        opened = _bytes(answer, "Plaintext", self._key_arn)
        if len(opened) != KEY_BYTES:
            raise TamperedCiphertext
        return opened

    def sign(self, message: bytes) -> bytes:
        """ECDSA over P-256 (DER) or RSA-PSS, both with SHA-256, as the signing key has it."""
        if self._signing_key_arn is None:
            raise Unavailable("The key service has no signing key: KMS_SIGNING_KEY_ID is not set.")
        algorithm = self._signing_algorithm or self._choose_algorithm(self._signing_key_arn)
        # The digest and not the message: KMS takes messages of 4,096 bytes at most.
        answer = self._ask(
            "sign",
            KeyId=self._signing_key_arn,
            Message=hashlib.sha256(message).digest(),
            MessageType="DIGEST",
            SigningAlgorithm=algorithm,
        )
        return _bytes(answer, "Signature", self._signing_key_arn)

    def state(self) -> KeyState:
        """What DescribeKey says of the root key."""
        try:
            described = self._describe(self._key_arn).get("KeyState")
        except Unavailable:
            return KeyState.UNAVAILABLE
        return _STATES.get(str(described), KeyState.UNAVAILABLE)

    def _choose_algorithm(self, key_arn: str) -> str:
        offered = self._describe(key_arn).get("SigningAlgorithms")
        known = [name for name in _SIGNING_ALGORITHMS if isinstance(offered, list) and name in offered]
        if not known:
            raise Unavailable("The key service can not sign: its signing key is neither of P-256 nor of RSA.")
        # Two threads may both get here, and find the same.
        self._signing_algorithm = known[0]
        return known[0]

    def _describe(self, key_arn: str) -> Mapping[str, object]:
        metadata = self._ask("describe_key", KeyId=key_arn).get("KeyMetadata")
        if not isinstance(metadata, Mapping) or metadata.get("Arn") != key_arn:
            raise _half_an_answer()
        return metadata

    def _ask(self, operation: str, **parameters: object) -> Mapping[str, object]:
        # `from None` throughout: botocore's messages name the caller's role, and a chained one would be logged.
        try:
            ask: _Operation = getattr(self._connected(), operation)
            return ask(**parameters)
        except ClientError as error:
            raise _in_our_words(error) from None
        except (ConnectionError, HTTPClientError, CredentialRetrievalError, MetadataRetrievalError):
            raise KeyServiceAway from None
        except BotoCoreError as error:
            raise Unavailable(f"The key service can not be asked: {type(error).__name__}.") from None
        except (ResponseParserError, ValueError):
            raise _half_an_answer() from None

    def _connected(self) -> object:
        with self._making:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> object:
        config = Config(
            connect_timeout=self._connect_seconds,
            read_timeout=self._read_seconds,
            # One attempt, its own included: whether to ask again is decided in one place, resilient.py.
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Where keys are sent is decided by our settings, never by a stray AWS_ENDPOINT_URL or a profile.
            ignore_configured_endpoint_urls=True,
        )
        region = self._key_arn.split(":")[3]
        session = boto3.session.Session()
        client: object = session.client("kms", region_name=region, endpoint_url=self._endpoint_url, config=config)
        return client


def _encryption_context(context: bytes) -> Mapping[str, str]:
    return {"scaivault": "v1:" + base64.b64encode(context).decode("ascii")}


def _bytes(answer: Mapping[str, object], name: str, key_arn: str) -> bytes:
    """One field of an answer that names the key it used. Under another key than ours, nothing in it is ours."""
    found = answer.get(name)
    if not isinstance(found, bytes) or not found or answer.get("KeyId") != key_arn:
        raise _half_an_answer()
    return found


def _half_an_answer() -> Unavailable:
    return Unavailable("The key service gives half an answer, or one for another key.")


def _in_our_words(error: ClientError) -> TamperedCiphertext | Unavailable:
    code = error.response.get("Error", {}).get("Code")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _TAMPERED:
        return TamperedCiphertext()
    if code in _PASSING or status >= _FIRST_SERVER_FAILURE:
        return KeyServiceAway()
    return Unavailable(f"The key service refuses: {_REFUSALS.get(code, 'it does not accept the request')}.")
