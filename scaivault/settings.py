"""The only reader of the environment: one frozen value, or every fault at once, named but never quoted."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    IPvAnyNetwork,
    PositiveInt,
    SecretStr,
    ValidationError,
)

from scaivault.kernel.durations import parse_duration
from scaivault.kernel.errors import InvalidDuration
from scaivault.kernel.hosts import is_loopback
from scaivault.kernel.limits import PER_MINUTE
from scaivault.kernel.root_key import Provider, RootKey

# Requests per identity and minute, by the name of the category as the variables spell it.
RATE_LIMITS: Final[Mapping[str, int]] = {category.name: limit for category, limit in PER_MINUTE.items()}
RATE_LIMIT_PREFIX: Final = "RATE_LIMIT_"
OUR_PREFIXES: Final = (RATE_LIMIT_PREFIX, "KMS_", "PREVIOUS_KMS_")
KMS_PROVIDERS_TO_COME: Final = ("hashicorp", "gcp", "azure")
# What each provider can not do without, and what it knows besides; all of it behind KMS_ or PREVIOUS_KMS_.
KMS_NEEDS: Final[Mapping[str, Sequence[str]]] = {
    "local": ("LOCAL_KEY_FILE",),
    "aws": ("KEY_ID",),
    "pkcs11": ("PKCS11_LIBRARY", "PKCS11_TOKEN_LABEL", "PKCS11_PIN_FILE", "PKCS11_KEY_LABEL"),
}
KMS_TAKES: Final[Mapping[str, Sequence[str]]] = {"aws": ("SIGNING_KEY_ID", "ENDPOINT_URL")}
_KEY_ARN: Final = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:key/[A-Za-z0-9-]+")
# A header's name, and a value as W3C baggage spells it, with the space that credentials have after their scheme.
_OTLP_HEADER: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+.^_`|~-]+=(?:[!#$&-+\--:<-\[\]-~ ]|%(?:[2-6][0-9A-Fa-f]|7[0-9A-Ea-e]))*", re.ASCII
)
# A name, whatever its script, or an address; `https://.` and `https://%20` parse, and lead nowhere.
_WEB_HOST: Final = re.compile(r"[\w:][\w.:-]*")
HIGHEST_PORT: Final = 65_535
SHORTEST_SYNC_INTERVAL: Final = timedelta(minutes=1)
DIRECTORY: Final = ("SCAIKEY_URL", "SCAIKEY_CLIENT_ID", "SCAIKEY_CLIENT_SECRET")
_KEY_SOURCES: Final = ("SCAIKEY_URL", "SCAIKEY_JWKS_URL")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one variable. Never holds its value."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


class SettingsInvalid(Exception):
    """The environment does not make a configuration; `faults` has every reason."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(set(faults), key=lambda fault: fault.name))
        super().__init__("\n".join(str(fault) for fault in self.faults))


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; as text, `host:port` with an IPv6 host in brackets."""

    host: str
    port: int

    @property
    def reachable(self) -> "Address":
        """How this machine itself gets there: 'everywhere' is not an address to connect to."""
        return Address("127.0.0.1", self.port) if self.host in ("0.0.0.0", "::") else self  # noqa: S104

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _address(text: object) -> object:
    if not isinstance(text, str):
        return text
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not (colon and bare and port.isascii() and port.isdigit() and 1 <= int(port) <= HIGHEST_PORT):
        raise ValueError("must be an address and a port, such as 0.0.0.0:8443 or [::]:8443")
    if (":" in bare) is not host.startswith("["):
        raise ValueError("must have an IPv6 address in brackets, such as [::]:8443")
    return Address(bare, int(port))


def _url(*schemes: str) -> BeforeValidator:
    expected = " or ".join(f"{scheme}://" for scheme in schemes)
    is_web = "http" in schemes
    nobody = ", without user and password" if is_web else ""

    def check(text: object) -> object:
        if not isinstance(text, str):
            return text
        try:
            parts = urlsplit(text)
            sound = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
            sound = sound and not (is_web and _misleads(text, parts))
        except ValueError:  # its text quotes the URL
            sound = False
        if not sound:
            raise ValueError(f"must be a URL that begins with {expected} and names a host{nobody}")
        return text.rstrip("/") if is_web else text

    return BeforeValidator(check)


def _misleads(text: str, parts: SplitResult) -> bool:
    """Whether a URL shows who signs in, which is then logged too, or names a host that can not be one."""
    return "@" in parts.netloc or not _WEB_HOST.fullmatch(parts.hostname or "") or any(map(str.isspace, text))


def _networks(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError:
        raise ValueError("must be networks separated by commas, such as 10.0.0.0/8,192.168.7.1/32") from None


def _kms_provider(text: object) -> object:
    if text in KMS_PROVIDERS_TO_COME:
        raise ValueError("names a provider that is not built yet; this release has `local`, `aws` and `pkcs11`")
    return text


def _key_arn(text: object) -> object:
    if isinstance(text, str) and not _KEY_ARN.fullmatch(text):
        raise ValueError("must be the ARN of a key, arn:aws:kms:<region>:<account>:key/<id>, and not an alias")
    return text


def _interval(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        interval = parse_duration(text)
    except InvalidDuration as fault:
        raise ValueError(f"must be a duration: {fault.message}") from None
    if interval < SHORTEST_SYNC_INTERVAL:
        raise ValueError("must be at least 1m")
    return interval


def _otlp_headers(text: object) -> object:
    if isinstance(text, str) and not all(_OTLP_HEADER.fullmatch(pair.strip()) for pair in text.split(",")):
        raise ValueError("must be name=value, separated by commas, with other characters in values percent-encoded")
    return text


KeyArn = Annotated[str, BeforeValidator(_key_arn)]
WebUrl = Annotated[str, _url("https", "http")]
DatabaseUrl = Annotated[SecretStr, _url("postgresql", "postgres")]
RedisUrl = Annotated[SecretStr, _url("rediss", "redis")]
ListenAddress = Annotated[Address, BeforeValidator(_address)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(_networks)]


class Settings(BaseModel):
    """How this installation runs. Frozen; its repr shows no secret. Field `x_y` is the variable `X_Y`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=str.upper,
        populate_by_name=True,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
    )

    scaivault_env: Literal["production", "development"] = "production"
    base_url: WebUrl
    bind_address: ListenAddress = Address("0.0.0.0", 8443)  # noqa: S104 - documented default of a container's port
    ops_bind_address: ListenAddress = Address("127.0.0.1", 9464)
    worker_ops_bind_address: ListenAddress = Address("127.0.0.1", 9466)
    tls_cert_file: FilePath | None = None
    tls_key_file: FilePath | None = None
    trusted_proxies: Networks = ()
    egress_allow: Networks = ()

    web_concurrency: Annotated[int, Field(ge=1, le=256)] = 2
    web_threads: Annotated[int, Field(ge=1, le=256)] = 8

    database_url: DatabaseUrl
    database_pool_size: PositiveInt = Field(default_factory=lambda given: given["web_threads"] + 2)
    redis_url: RedisUrl

    kms_provider: Annotated[Provider, BeforeValidator(_kms_provider)]
    kms_local_key_file: Path | None = None  # may be absent for a while: a worker starts while its KMS is away
    kms_key_id: KeyArn | None = None
    kms_signing_key_id: KeyArn | None = None
    kms_endpoint_url: WebUrl | None = None
    kms_pkcs11_library: FilePath | None = None
    kms_pkcs11_token_label: str | None = None
    kms_pkcs11_pin_file: FilePath | None = None
    kms_pkcs11_key_label: str | None = None
    previous_kms_provider: Annotated[Provider, BeforeValidator(_kms_provider)] | None = None
    previous_kms_local_key_file: Path | None = None
    previous_kms_key_id: KeyArn | None = None
    previous_kms_endpoint_url: WebUrl | None = None
    previous_kms_pkcs11_library: FilePath | None = None
    previous_kms_pkcs11_token_label: str | None = None
    previous_kms_pkcs11_pin_file: FilePath | None = None
    previous_kms_pkcs11_key_label: str | None = None
    key_cache_seconds: Annotated[int, Field(ge=0, le=86_400)] = 600

    scaikey_url: WebUrl | None = None
    scaikey_jwks_url: WebUrl | None = None
    scaikey_audience: Annotated[str, Field(pattern=r"^[!-~]{1,200}$")] = "scaivault"
    scaikey_webhook_secret: SecretStr | None = None
    scaikey_client_id: Annotated[str, Field(pattern=r"^[!-~]{1,200}$")] | None = None
    scaikey_client_secret: SecretStr | None = None
    identity_sync_interval: Annotated[timedelta, BeforeValidator(_interval)] | None = None

    drain_seconds: Annotated[int, Field(ge=0, le=600)] = 5
    shutdown_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    metrics_auth: Literal["none", "token"] = "token"
    metrics_dir: Path | None = None
    exporter_bind_address: ListenAddress = Address("127.0.0.1", 9465)
    exporter_database_url: Annotated[SecretStr | None, _url("postgresql", "postgres")] = None
    exporter_interval_seconds: Annotated[int, Field(ge=5, le=300)] = 15
    workers_expected: Annotated[int, Field(ge=0, le=1000)] = 0
    otel_exporter_otlp_endpoint: WebUrl | None = None
    otel_exporter_otlp_headers: Annotated[SecretStr | None, BeforeValidator(_otlp_headers)] = None
    otel_exporter_otlp_certificate: FilePath | None = None
    otel_service_name: Annotated[str, Field(pattern=r"^[!-~]{1,200}$")] = "scaivault"
    traces_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1

    rate_limits: Mapping[str, Annotated[int, Field(gt=0, le=1_000_000_000)]] = RATE_LIMITS
    """Requests per identity and minute, for every category; the variables are RATE_LIMIT_<CATEGORY>."""

    @property
    def development(self) -> bool:
        """True where weak choices, such as a generated key beside the data, are accepted."""
        return self.scaivault_env == "development"

    @property
    def otlp_headers(self) -> Mapping[str, str]:
        """What the collector knows us by, as headers."""
        if self.otel_exporter_otlp_headers is None:
            return {}
        pairs = self.otel_exporter_otlp_headers.get_secret_value().split(",")
        named = (pair.strip().partition("=") for pair in pairs)
        return {name: unquote(value) for name, _, value in named}

    @property
    def root_key(self) -> RootKey:
        return RootKey(
            self.kms_provider,
            self.kms_local_key_file,
            self.kms_key_id,
            self.kms_signing_key_id,
            self.kms_endpoint_url,
            self.kms_pkcs11_library,
            self.kms_pkcs11_token_label,
            self.kms_pkcs11_pin_file,
            self.kms_pkcs11_key_label,
        )

    @property
    def previous_root_key(self) -> RootKey | None:
        """The root key that is being replaced, which signs nothing any more."""
        if self.previous_kms_provider is None:
            return None
        return RootKey(
            self.previous_kms_provider,
            self.previous_kms_local_key_file,
            self.previous_kms_key_id,
            None,
            self.previous_kms_endpoint_url,
            self.previous_kms_pkcs11_library,
            self.previous_kms_pkcs11_token_label,
            self.previous_kms_pkcs11_pin_file,
            self.previous_kms_pkcs11_key_label,
        )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings in `environ` (default: the process's), or SettingsInvalid with all faults. Empty means unset."""
        source = process_environ() if environ is None else environ
        given, faults = _collect({name: value for name, value in source.items() if value})
        faults += _unknown(source) + _incomplete(given)
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            complaints = [_fault(each["loc"], each["type"], each["msg"]) for each in error.errors()]
            unread = {fault.name.removesuffix("_FILE") for fault in faults}
            faults += [fault for fault in complaints if fault.reason and fault.name not in unread]
        if faults:
            raise SettingsInvalid(faults)
        return settings


SECRETS: Final = tuple(
    name.upper()
    for name, field in Settings.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
)


def variables() -> tuple[str, ...]:
    """Every variable there is; those in SECRETS may also come as <NAME>_FILE."""
    single = [name.upper() for name in Settings.model_fields if name != "rate_limits"]
    return (*single, *(RATE_LIMIT_PREFIX + category for category in RATE_LIMITS))


def process_environ() -> dict[str, str]:
    """A copy of this process's environment."""
    return dict(os.environ)  # noqa: TID251 - this module is the reader the rule protects


def _collect(source: Mapping[str, str]) -> tuple[dict[str, object], list[Fault]]:
    """Our variables in the shape of the model, with secrets fetched from their files."""
    faults: list[Fault] = []
    given: dict[str, object] = {}
    for name in variables():
        if name in SECRETS and f"{name}_FILE" in source:
            given[name] = _from_file(name, source, faults)
        elif name in source and not name.startswith(RATE_LIMIT_PREFIX):
            given[name] = source[name]
    limits = {category: source.get(RATE_LIMIT_PREFIX + category, limit) for category, limit in RATE_LIMITS.items()}
    return {**given, "RATE_LIMITS": limits}, faults


def _from_file(name: str, source: Mapping[str, str], faults: list[Fault]) -> str | None:
    if name in source:
        faults.append(Fault(name, f"and {name}_FILE are both set; keep one"))
    try:
        text = Path(source[f"{name}_FILE"]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, ValueError) as failure:
        faults.append(Fault(f"{name}_FILE", f"cannot be read ({type(failure).__name__}); check path and permissions"))
        return None
    if not text:
        faults.append(Fault(f"{name}_FILE", "is empty"))
        return None
    return text


def _unknown(source: Mapping[str, str]) -> list[Fault]:
    """A misspelt limit or key setting would be ignored in silence, and be missed at the worst time."""
    known = variables()
    strangers = [name for name in source if name.startswith(OUR_PREFIXES) and name not in known]
    return [Fault(name, f"is not a setting of this release{_suggestion(name, known)}") for name in strangers]


def _suggestion(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""


def _incomplete(given: Mapping[str, object]) -> list[Fault]:
    """What one variable demands of another; here and not in the model, which would stop at the first kind of fault."""
    faults = []
    for name, other in (("TLS_CERT_FILE", "TLS_KEY_FILE"), ("TLS_KEY_FILE", "TLS_CERT_FILE")):
        if name in given and other not in given:
            faults.append(Fault(other, f"is required when {name} is set"))
    if "SCAIKEY_JWKS_URL" in given and "SCAIKEY_URL" not in given:
        faults.append(Fault("SCAIKEY_URL", "is required when SCAIKEY_JWKS_URL is set: tokens must be its"))
    reading = [name for name in (*DIRECTORY[1:], "IDENTITY_SYNC_INTERVAL") if name in given]
    if reading:
        lacking = [name for name in DIRECTORY if name not in given]
        faults += [Fault(name, f"is required when {reading[0]} is set") for name in lacking]
    if given.get("SCAIVAULT_ENV") != "development":
        reason = "must begin with https://, but for this machine itself and for development"
        faults += [Fault(name, reason) for name in _KEY_SOURCES if _is_plain_and_remote(given.get(name))]
        if "OTEL_EXPORTER_OTLP_HEADERS" in given and _is_plain_and_remote(given.get("OTEL_EXPORTER_OTLP_ENDPOINT")):
            reason = "must begin with https:// when OTEL_EXPORTER_OTLP_HEADERS is set, but for this machine itself"
            faults.append(Fault("OTEL_EXPORTER_OTLP_ENDPOINT", reason))
    return faults + _kms_faults("KMS_", given) + _previous_kms_faults(given)


def _previous_kms_faults(given: Mapping[str, object]) -> list[Fault]:
    if "PREVIOUS_KMS_PROVIDER" in given:
        return _kms_faults("PREVIOUS_KMS_", given)
    orphans = [name for name in given if name.startswith("PREVIOUS_KMS_")]
    return [Fault("PREVIOUS_KMS_PROVIDER", f"is required when {orphans[0]} is set")] if orphans else []


def _kms_faults(prefix: str, given: Mapping[str, object]) -> list[Fault]:
    """What a provider lacks, what belongs to another one, and what its variables may not be together."""
    provider = str(given.get(f"{prefix}PROVIDER"))
    if provider not in KMS_NEEDS:
        return []
    hints = {"KMS_LOCAL_KEY_FILE": "; make the file with `scaivault server generate-key --out FILE`"}
    missing = [prefix + name for name in KMS_NEEDS[provider] if prefix + name not in given]
    faults = [Fault(name, f"is required by {prefix}PROVIDER={provider}{hints.get(name, '')}") for name in missing]
    for other in KMS_NEEDS.keys() - {provider}:
        names = [prefix + name for name in (*KMS_NEEDS[other], *KMS_TAKES.get(other, ()))]
        faults += [Fault(name, f"belongs to {prefix}PROVIDER={other}; remove it") for name in names if name in given]
    key_id, signing_key_id, endpoint = (f"{prefix}{name}" for name in ("KEY_ID", "SIGNING_KEY_ID", "ENDPOINT_URL"))
    regions = {_region(given[name]) for name in (key_id, signing_key_id) if name in given} - {None}
    if len(regions) > 1:
        faults.append(Fault(signing_key_id, f"must be in the region of {key_id}"))
    in_clear = str(given.get(endpoint)).startswith("http://")
    if in_clear and given.get("SCAIVAULT_ENV") != "development":
        faults.append(Fault(endpoint, "must begin with https:// in production: keys travel over it"))
    return faults


def _region(key_arn: object) -> str | None:
    parts = _KEY_ARN.fullmatch(str(key_arn))
    return parts[1] if parts else None


def _is_plain_and_remote(url: object) -> bool:
    """Whether whoever is on the way could put keys of their own in the answer."""
    try:
        parts = urlsplit(str(url or ""))
    except ValueError:
        return False  # no URL, which is told elsewhere
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> Fault:
    """A model's complaint in our words. Its messages hold what was expected, never what was given."""
    names = [str(part) for part in location]
    name = RATE_LIMIT_PREFIX + names[1] if names[0] == "RATE_LIMITS" else names[0]
    match kind:
        case "missing":
            reason = "is required"
        case "value_error":
            reason = message.removeprefix("Value error, ")
        case "path_not_file":
            reason = "must be the path of a file that exists and may be read"
        case "int_parsing":
            reason = "must be a whole number"
        case "default_factory_not_called":
            reason = ""  # a consequence of another fault
        case _:
            reason = message.replace("Input should be", "must be", 1)
    return Fault(name, reason)
