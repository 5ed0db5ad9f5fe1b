"""One secret."""

from collections.abc import Sequence

from scaivault.edge.messages import Reply
from scaivault.edge.routes import Answer, Route
from scaivault.features.secrets.errors import (
    InvalidSecretType,
    SecretExists,
    SecretNotFound,
    VersionConflict,
    VersionNotFound,
)
from scaivault.features.secrets.model import Written
from scaivault.features.secrets.routes.messages import (
    MAX_BODY_BYTES,
    DeletedReply,
    DeleteQuery,
    DestroyBody,
    MetadataBody,
    MetadataReply,
    ReadQuery,
    RollbackBody,
    SecretReply,
    VersionsReply,
    WriteBody,
    WrittenReply,
)
from scaivault.features.secrets.service.secrets import SecretService
from scaivault.features.secrets.service.trash import TrashService
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import (
    InvalidDuration,
    InvalidPath,
    IpNotAllowed,
    MfaRequired,
    TimeWindowViolation,
    VaultError,
)
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.paths import parse_path
from scaivault.kernel.ports import Clock


class SecretRoutes:
    def __init__(self, secrets: SecretService, trash: TrashService, clock: Clock) -> None:
        self._secrets = secrets
        self._trash = trash
        self._clock = clock

    def read(self, caller: Caller, path: str, query: ReadQuery) -> Answer:
        found, plaintext = self._secrets.read(caller, parse_path(path), query.version)
        return Answer(SecretReply.of(found, plaintext), headers=_etag(found.version))

    def write(self, caller: Caller, path: str, body: WriteBody, if_match: int | None) -> Answer:
        return _written(self._secrets.write(caller, parse_path(path), body.to_model(if_match)))

    def roll_back(self, caller: Caller, path: str, body: RollbackBody, if_match: int | None) -> Answer:
        return _written(self._secrets.roll_back(caller, parse_path(path), body.version, if_match))

    def read_metadata(self, caller: Caller, path: str) -> Answer:
        secret = self._secrets.read_metadata(caller, parse_path(path))
        return Answer(MetadataReply.of(secret), headers=_etag(secret.current_version))

    def change_metadata(self, caller: Caller, path: str, body: MetadataBody, if_match: int | None) -> Answer:
        change = body.metadata.model_dump(exclude_unset=True)
        expected = body.options.expected(if_match)
        secret = self._secrets.change_metadata(caller, parse_path(path), change, body.options.to_model(), expected)
        return Answer(MetadataReply.of(secret), headers=_etag(secret.current_version))

    def list_versions(self, caller: Caller, path: str) -> VersionsReply:
        return VersionsReply.of(*self._secrets.list_versions(caller, parse_path(path)), self._clock.now())

    def delete(self, caller: Caller, path: str, query: DeleteQuery, if_match: int | None) -> Reply | Answer:
        if query.permanent:
            self._trash.delete_permanently(caller, parse_path(path), if_match)
            return Answer(None, 204)
        secret = self._trash.delete(caller, parse_path(path), if_match)
        return DeletedReply(path=path, deleted_at=secret.deleted_at, recoverable_until=secret.recoverable_until)

    def recover(self, caller: Caller, path: str) -> MetadataReply:
        return MetadataReply.of(self._trash.recover(caller, parse_path(path)))

    def destroy(self, caller: Caller, path: str, body: DestroyBody) -> VersionsReply:
        return VersionsReply.of(*self._trash.destroy(caller, parse_path(path), body.versions), self._clock.now())


def _written(written: Written) -> Answer:
    reply = WrittenReply(path=written.path, version=written.version, created_at=written.created_at)
    return Answer(reply, 201 if written.version == 1 else 200, _etag(written.version))


def _etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}


def single_table(
    secrets: SecretService, trash: TrashService, clock: Clock, refusals: Sequence[type[VaultError]]
) -> Sequence[Route]:
    """`refusals` are what naming a rotation policy or a secret policy can meet."""
    at = SecretRoutes(secrets, trash, clock)
    one = "/v1/secrets/<secret:path>"
    conditions: tuple[type[VaultError], ...] = (IpNotAllowed, MfaRequired, TimeWindowViolation)
    absent: tuple[type[VaultError], ...] = (SecretNotFound, InvalidPath, *conditions)
    writing: tuple[type[VaultError], ...] = (VersionConflict, SecretExists, InvalidSecretType, InvalidDuration)
    writing += (InvalidPath, *conditions, *refusals)
    return (
        Route(
            "GET",
            one,
            at.read,
            "Read a secret",
            Scope.SECRETS_READ,
            query=ReadQuery,
            reply=SecretReply,
            errors=(*absent, VersionNotFound),
            limit=RateCategory.READ,
        ),
        Route(
            "PUT",
            one,
            at.write,
            "Write the next version of a secret",
            Scope.SECRETS_WRITE,
            body=WriteBody,
            reply=WrittenReply,
            errors=writing,
            takes_if_match=True,
            max_body_bytes=MAX_BODY_BYTES,
            other_statuses=(201,),
            limit=RateCategory.WRITE,
        ),
        Route(
            "DELETE",
            one,
            at.delete,
            "Delete a secret, recoverably unless permanent",
            Scope.SECRETS_DELETE,
            query=DeleteQuery,
            reply=DeletedReply,
            errors=(*absent, VersionConflict),
            takes_if_match=True,
            other_statuses=(204,),
            limit=RateCategory.DELETE,
        ),
        Route(
            "GET",
            f"{one}:metadata",
            at.read_metadata,
            "All of a secret but its value",
            Scope.SECRETS_LIST,
            reply=MetadataReply,
            errors=absent,
            limit=RateCategory.READ,
        ),
        Route(
            "PATCH",
            f"{one}:metadata",
            at.change_metadata,
            "Change metadata or options, without a new version",
            Scope.SECRETS_WRITE,
            body=MetadataBody,
            reply=MetadataReply,
            errors=(*absent, VersionConflict, InvalidDuration, *refusals),
            takes_if_match=True,
            limit=RateCategory.WRITE,
        ),
        Route(
            "GET",
            f"{one}:versions",
            at.list_versions,
            "A secret's history, newest first",
            Scope.SECRETS_LIST,
            reply=VersionsReply,
            errors=absent,
            limit=RateCategory.READ,
        ),
        Route(
            "POST",
            f"{one}:recover",
            at.recover,
            "Take a deleted secret back",
            Scope.SECRETS_WRITE,
            reply=MetadataReply,
            errors=absent,
            limit=RateCategory.WRITE,
        ),
        Route(
            "POST",
            f"{one}:rollback",
            at.roll_back,
            "Write an old version's value as the next version",
            Scope.SECRETS_WRITE,
            body=RollbackBody,
            reply=WrittenReply,
            errors=(*absent, VersionNotFound, VersionConflict),
            takes_if_match=True,
            limit=RateCategory.WRITE,
        ),
        Route(
            "POST",
            f"{one}:destroy",
            at.destroy,
            "Erase versions' values and keys for good",
            Scope.SECRETS_DELETE,
            body=DestroyBody,
            reply=VersionsReply,
            errors=(*absent, VersionNotFound),
            limit=RateCategory.DELETE,
        ),
    )
