"""Many secrets."""

from collections.abc import Sequence

from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Also, Route
from scaivault.features.secrets.errors import InvalidSecretType
from scaivault.features.secrets.routes.messages import (
    BatchBody,
    BatchItem,
    BatchMetadataBody,
    BatchMetadataReply,
    BatchReply,
    ErrorReply,
    ListQuery,
    MetadataReply,
    SecretPage,
)
from scaivault.features.secrets.service.batch import BatchService
from scaivault.features.secrets.service.listing import ListService
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import InvalidCursor, InvalidDuration, InvalidGlob, InvalidPath
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.ports import Clock


class CollectionRoutes:
    def __init__(self, listing: ListService, batch: BatchService, cursors: Cursors, clock: Clock) -> None:
        self._listing = listing
        self._batch = batch
        self._cursors = cursors
        self._clock = clock

    def list(self, caller: Caller, query: ListQuery) -> SecretPage:
        bound_to = ("secrets", caller.tenant_id, query.model_dump_json(exclude={"cursor", "limit"}))
        after = self._cursors.open(query.cursor, bound_to) or ("",)
        listed = self._listing.list(caller, query.filters(self._clock), after[0], query.limit)
        cursor = None if listed.next_after is None else self._cursors.seal((listed.next_after,), bound_to)
        secrets = [MetadataReply.of(secret) for secret in listed.secrets]
        return SecretPage(secrets=secrets, cursor=cursor, has_more=cursor is not None)

    def read_batch(self, caller: Caller, body: BatchBody) -> BatchReply:
        options = body.options
        batch = self._batch.read(caller, body.paths, options.version, fail_fast=options.fail_fast)
        secrets = {
            path: BatchItem.of(found, plaintext, with_metadata=options.include_metadata)
            for path, (found, plaintext) in batch.secrets.items()
        }
        return BatchReply(secrets=secrets, errors=ErrorReply.of_each(batch.errors))

    def read_batch_metadata(self, caller: Caller, body: BatchMetadataBody) -> BatchMetadataReply:
        batch = self._batch.read_metadata(caller, body.paths, expand_wildcards=body.expand_wildcards)
        secrets = {path: MetadataReply.of(secret) for path, secret in batch.secrets.items()}
        errors = ErrorReply.of_each(batch.errors)
        return BatchMetadataReply(secrets=secrets, errors=errors, truncated=batch.is_truncated)


def _asked(body: BatchBody) -> int:
    return len(set(body.paths))


def _given(reply: BatchReply) -> int:
    """Also a path that is answered with an error has been decided on and journalled, as if it had been asked alone."""
    return len(reply.secrets) + len(reply.errors)


def collection_table(listing: ListService, batch: BatchService, cursors: Cursors, clock: Clock) -> Sequence[Route]:
    at = CollectionRoutes(listing, batch, cursors, clock)
    return (
        Route(
            "GET",
            "/v1/secrets",
            at.list,
            "List secrets by path, without their values",
            Scope.SECRETS_LIST,
            query=ListQuery,
            reply=SecretPage,
            errors=(InvalidCursor, InvalidDuration, InvalidPath, InvalidSecretType),
            limit=RateCategory.LIST,
        ),
        Route(
            "POST",
            "/v1/secrets/batch",
            at.read_batch,
            "Read up to a hundred secrets, each decided on its own",
            Scope.SECRETS_READ,
            body=BatchBody,
            reply=BatchReply,
            category="batch",
            limit=RateCategory.BATCH_READ,
            also=Also(RateCategory.READ, _asked, _given),
        ),
        Route(
            "POST",
            "/v1/secrets/batch/metadata",
            at.read_batch_metadata,
            "Metadata of up to a hundred secrets, patterns included",
            Scope.SECRETS_LIST,
            body=BatchMetadataBody,
            reply=BatchMetadataReply,
            errors=(InvalidGlob,),
            category="batch",
            limit=RateCategory.BATCH_METADATA,
        ),
    )
