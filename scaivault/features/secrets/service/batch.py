"""Many secrets in one request: each path is decided, journalled and answered on its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scaivault.features.secrets.model import SealedVersion, Secret
from scaivault.features.secrets.service.listing import ListService
from scaivault.features.secrets.service.secrets import SecretService
from scaivault.kernel.caller import Caller, Permission, Scope
from scaivault.kernel.errors import Forbidden, InvalidRequest, NotFound, VaultError
from scaivault.kernel.globs import Glob
from scaivault.kernel.paths import SecretPath, parse_path
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Guard, Reach

MOST_PATHS = 100

_OWN_TO_A_PATH = (Forbidden, NotFound, InvalidRequest)


@dataclass(frozen=True, slots=True)
class BatchRead:
    """What came of each path."""

    secrets: Mapping[str, tuple[SealedVersion, Plaintext]]
    errors: Mapping[str, VaultError]


@dataclass(frozen=True, slots=True)
class BatchMetadata:
    """What came of each path; `is_truncated` if patterns matched more than fits an answer."""

    secrets: Mapping[str, Secret]
    errors: Mapping[str, VaultError]
    is_truncated: bool


class BatchService:
    """Reads by the hundred."""

    def __init__(self, secrets: SecretService, listing: ListService, guard: Guard) -> None:
        self._secrets = secrets
        self._listing = listing
        self._guard = guard

    def read(self, caller: Caller, paths: Sequence[str], version: int | None, *, fail_fast: bool) -> BatchRead:
        """Each path's value, or the error that reading it alone would give.

        With `fail_fast` nothing is read beyond the first error. A missing scope is not one path's own error:
        InsufficientScope.
        """
        self._guard.require_scope(caller, Scope.SECRETS_READ)
        read: dict[str, tuple[SealedVersion, Plaintext]] = {}
        errors: dict[str, VaultError] = {}

        def one(path: SecretPath) -> None:
            read[path] = self._secrets.read(caller, path, version)

        for path in dict.fromkeys(paths):
            fault = _attempt(path, one)
            if fault is not None:
                errors[path] = fault
                if fail_fast:
                    break
        return BatchRead(read, errors)

    def read_metadata(self, caller: Caller, paths: Sequence[str], *, expand_wildcards: bool) -> BatchMetadata:
        """Each path's metadata, or the error that asking for it alone would give.

        With `expand_wildcards`, a path with a wildcard stands for all it matches of what the caller may list.
        InsufficientScope.
        """
        self._guard.require_scope(caller, Scope.SECRETS_LIST)
        found: dict[str, Secret] = {}
        errors: dict[str, VaultError] = {}

        def one(path: SecretPath) -> None:
            found[path] = self._secrets.read_metadata(caller, path)

        patterns = [path for path in dict.fromkeys(paths) if expand_wildcards and _is_pattern(path)]
        for path in dict.fromkeys(paths):
            if path not in patterns and (fault := _attempt(path, one)) is not None:
                errors[path] = fault
        is_truncated = self._expand(caller, patterns, found) if patterns else False
        return BatchMetadata(found, errors, is_truncated)

    def _expand(self, caller: Caller, patterns: Sequence[str], found: dict[str, Secret]) -> bool:
        """Add what the patterns match, up to MOST_PATHS in all; whether there was more."""
        globs = [Glob.parse(pattern) for pattern in patterns]
        reach = self._guard.reach(caller, Permission.LIST)
        for glob in globs:
            listed = self._listing.list_within(caller, Matching(reach, glob), glob.literal_prefix, MOST_PATHS)
            for secret in listed.secrets:
                if secret.path not in found and len(found) == MOST_PATHS:
                    return True
                found[secret.path] = secret
            if listed.next_after is not None:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Matching:
    """What a caller may list, and a pattern matches."""

    reach: Reach
    glob: Glob

    @property
    def prefixes(self) -> Sequence[str]:
        return self.reach.prefixes

    def covers(self, path: str) -> bool:
        return self.glob.matches(path) and self.reach.covers(path)


def _is_pattern(path: str) -> bool:
    return "*" in path or "?" in path


def _attempt(text: str, one: Callable[[SecretPath], None]) -> VaultError | None:
    """Do it for one path; the error if it is that path's own, and not the whole request's."""
    try:
        one(parse_path(text))
    except _OWN_TO_A_PATH as fault:
        return fault
    return None
