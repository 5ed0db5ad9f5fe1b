"""What the exporter needs of the configuration: the vault's own variables, less those that it has no use for."""

from collections.abc import Mapping
from dataclasses import dataclass

from scaivault.kernel.root_key import RootKey
from scaivault.settings import Address, Settings, process_environ

_OWN_DATABASE = ("EXPORTER_DATABASE_URL", "EXPORTER_DATABASE_URL_FILE")
_DATABASE = ("DATABASE_URL", "DATABASE_URL_FILE")
_UNUSED = {"BASE_URL": "https://unused.invalid"}


@dataclass(frozen=True, slots=True, repr=False)
class ExporterSettings:
    """How this exporter runs. No repr: URLs hold passwords."""

    address: Address
    database_url: str
    redis_url: str
    root_key: RootKey
    development: bool
    interval_seconds: float
    workers_expected: int
    log_level: str
    log_format: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "ExporterSettings":
        """From the process's environment, or scaivault.settings.SettingsInvalid with all faults.

        An exporter with a database login of its own is not asked for the vault's, which it should not even know.
        """
        given = {name: value for name, value in (process_environ() if environ is None else environ).items() if value}
        has_own = any(name in given for name in _OWN_DATABASE)
        if has_own:
            given = {name: value for name, value in given.items() if name not in _DATABASE}
            given["DATABASE_URL"] = "postgresql://unused.invalid"
        settings = Settings.from_env(_UNUSED | given)
        url = settings.exporter_database_url or settings.database_url
        return cls(
            settings.exporter_bind_address,
            url.get_secret_value(),
            settings.redis_url.get_secret_value(),
            settings.root_key,
            settings.development,
            float(settings.exporter_interval_seconds),
            settings.workers_expected,
            settings.log_level,
            settings.log_format,
        )
