"""The command `scaivault`: run, prepare and check an installation."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from scaivault.kernel.caller import Role
from scaivault.kernel.durations import parse_duration
from scaivault.kernel.errors import InvalidDuration, Unavailable, VaultError
from scaivault.kernel.ids import PARTNER_ID, TENANT_ID
from scaivault.settings import RATE_LIMIT_PREFIX, RATE_LIMITS, Settings, SettingsInvalid, process_environ, variables

if TYPE_CHECKING:
    from scaivault.bootstrap.services import Services
    from scaivault.crypto.rotation import KeyRotation, Proof
    from scaivault.features.identity.model import Identity

FAULTY = 2
PROGRESS_SECONDS = 0.2
PROGRESS_LINE_SECONDS = 10.0
HIDDEN = "(set, and not shown)"
# Where it shares processors with the API, readers come first.
ROTATION_NICENESS = 10
MOST_NAMED = 20
GUNICORN = ("-m", "gunicorn", "--config", "python:scaivault.gunicorn_conf", "scaivault.wsgi:app")


def release() -> str:
    """This release's version."""
    try:
        return version("scaivault")
    except PackageNotFoundError:
        return "unreleased"


def _id_form(*forms: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """A check that an id given by hand is one that a tenant or a partner could have."""

    def check(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
        if text is not None and re.fullmatch("|".join(forms), text, re.ASCII) is None:
            prefixes = " or ".join(form[:4] for form in forms)
            raise click.BadParameter(f"write {prefixes} and 1 to 96 letters, digits, - and _")
        return text

    return check


def _duration(_context: click.Context, _parameter: click.Parameter, text: str | None) -> timedelta | None:
    try:
        return None if text is None else parse_duration(text)
    except InvalidDuration as invalid:
        raise click.BadParameter(invalid.message) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(release(), "--version", message="scaivault %(version)s")
def main() -> None:
    """ScaiVault: a multi-tenant vault for secrets, certificates and short-lived credentials."""


@main.group()
def server() -> None:
    """Run and look after the server.

    Every setting is an environment variable: docs/operations/configuration.md lists them all.
    """


@server.command(short_help="Run everything on this machine, for development.")
def dev() -> None:
    """Run everything on this machine, for development (`make run`).

    Starts an embedded PostgreSQL and Valkey, a key file and the API, with a tenant and tokens to try it. What it needs
    and writes is in DEV_DIR (default .dev). PORT (8443), OPS_PORT (9464) and EXPORTER_PORT (9465) say where it listens.
    """
    from scaivault.dev import supervisor  # noqa: PLC0415 - only development needs it

    sys.exit(supervisor.run())


@server.command()
def run() -> None:
    """Run the API in the foreground, until SIGTERM."""
    _settings_or_exit()
    # Gunicorn takes this process over: it must see its container's signals itself.
    os.execv(sys.executable, [sys.executable, *GUNICORN])  # noqa: S606 - fixed arguments


@server.command()
def worker() -> None:
    """Run a worker in the foreground, until SIGTERM: what the vault does without being asked.

    Deliveries to webhooks, words about what expires, tidying. Start as many as you like; what one has taken on when it
    is killed another takes over. Health and metrics are at WORKER_OPS_BIND_ADDRESS.
    """
    from scaivault import worker as process  # noqa: PLC0415 - the other commands need no services

    sys.exit(process.run(_settings_or_exit()))


@server.command()
def migrate() -> None:
    """Bring the database schema up to this release.

    Safe while the previous release still runs, and safe to repeat. Needs DATABASE_URL and no other setting.
    """
    from scaivault.storage import migrate as migrations  # noqa: PLC0415 - the other commands need no database

    settings = _settings_or_exit(_for_migrations())
    try:
        applied = migrations.apply(settings.database_url.get_secret_value())
    except VaultError as error:
        _fail(f"The database was not migrated: {error.message}")
    click.echo(f"The schema is up to date; migrations applied now: {applied}.")


@server.command(short_help="Create the first partner, tenant and administrator.")
@click.option("--partner-name", required=True, help="The partner (the organisation that runs tenants), in words.")
@click.option("--tenant-name", required=True, help="Its first tenant, in words.")
@click.option("--admin", required=True, metavar="IDENTITY", help="Who administers it, such as user:alice@example.com.")
@click.option("--admin-name", help="The administrator's name in words.  [default: the identity]")
@click.option(
    "--partner-id", callback=_id_form(PARTNER_ID), help="The partner's id, such as ptn_acme.  [default: a new one]"
)
@click.option(
    "--tenant-id", callback=_id_form(TENANT_ID), help="The tenant's id, such as tnt_acme.  [default: a new one]"
)
def bootstrap(
    partner_name: str,
    tenant_name: str,
    admin: str,
    admin_name: str | None,
    partner_id: str | None,
    tenant_id: str | None,
) -> None:
    """Create the first partner, tenant and administrator of an empty installation. Works once.

    The administrator's token is the only line on standard output, and is never shown again.
    """
    holder = _administrator(admin, admin_name or admin)
    with _services("Nothing was created.") as services:
        installed = services.installer.install(
            partner_name, tenant_name, holder, partner_id=partner_id, tenant_id=tenant_id
        )
    click.echo(f"Created partner {installed.partner_id} and tenant {installed.tenant_id}.", err=True)
    click.echo(f"The token of {admin} follows. Store it now: it is not shown again.", err=True)
    click.echo(installed.token)


@server.command("let-in", short_help="Make a token for an administrator who is locked out.")
@click.option("--tenant", required=True, callback=_id_form(TENANT_ID), metavar="ID", help="Whose administrator it is.")
@click.option("--admin", required=True, metavar="IDENTITY", help="Who it is, such as user:alice@example.com.")
@click.option(
    "--lifetime",
    default="24h",
    show_default=True,
    callback=_duration,
    metavar="DURATION",
    help="When the token ends: as soon as others can sign in again, and 365d at most.",
)
def let_in(tenant: str, admin: str, lifetime: timedelta) -> None:
    """Make a token for an administrator of a tenant, when nobody there can make one any more.

    To be run where the API's environment is, root key included. The identity is made an administrator, or is added as
    one; its groups and policies stay. The tenant's audit trail has it, as an act of system:operator.

    The token is the only line on standard output, and is never shown again.
    """
    from scaivault.features.identity.model import LONGEST_TOKEN_LIFETIME  # noqa: PLC0415 - as for bootstrap

    holder = _administrator(admin, admin)
    if not timedelta() < lifetime <= LONGEST_TOKEN_LIFETIME:
        raise click.BadParameter("write up to 365d", param_hint="--lifetime")
    with _services("Nobody was let in.") as services:
        token = services.installer.let_in(tenant, holder, lifetime)
    click.echo(f"The token of {admin} follows. It ends in {lifetime}, and is not shown again.", err=True)
    click.echo(token)


@server.command("check-config", short_help="Say whether the configuration is sound, with every fault.")
def check_config() -> None:
    """Say whether the environment makes a configuration, with every fault at once. Exit 2 if not."""
    settings = _settings_or_exit()
    if settings.kms_local_key_file and not settings.kms_local_key_file.is_file():
        _fail("KMS_LOCAL_KEY_FILE names no file; `scaivault server generate-key --out FILE` makes one.", FAULTY)
    if settings.previous_kms_local_key_file and not settings.previous_kms_local_key_file.is_file():
        _fail("PREVIOUS_KMS_LOCAL_KEY_FILE names no file; take it away if no key is under it any more.", FAULTY)
    click.echo("The configuration is sound.")
    for name in variables():
        if not name.startswith(RATE_LIMIT_PREFIX):
            click.echo(f"  {name:28} {_shown(getattr(settings, name.lower()))}")
    for category, limit in settings.rate_limits.items():
        if limit != RATE_LIMITS[category]:
            click.echo(f"  {RATE_LIMIT_PREFIX + category:28} {limit}")


@server.command("generate-key", short_help="Make a root key file for KMS_PROVIDER=local.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to make; it must not exist yet.")
def generate_key(out: Path) -> None:
    """Make a root key file for KMS_PROVIDER=local, readable by you alone.

    Whoever loses it loses every secret; whoever has it and the database reads them all. Back it up elsewhere.
    """
    from scaivault.crypto.kms.local import write_key_file  # noqa: PLC0415 - the other commands need no keys

    try:
        write_key_file(out, development=False)
    except FileExistsError:
        _fail(f"{out} exists already and was left as it is; choose another name.")
    except OSError as failure:
        _fail(f"{out} could not be written: {failure.strerror}.")
    click.echo(f"Wrote {out}. Set KMS_PROVIDER=local and KMS_LOCAL_KEY_FILE={out}, and keep a copy in a safe place.")


@server.command(short_help="Wrap all keys by the present root key, after it was replaced.")
def rewrap() -> None:
    """Wrap all partner and system keys by the present root key.

    For a new root key, or another KMS provider: make it the present one (KMS_…), keep the old one as PREVIOUS_KMS_…,
    restart the servers, run this, and take PREVIOUS_KMS_… away. Secrets are not touched, and everything goes on.

    Safe to interrupt and to repeat, also several at once. Exit 0 with the proof that nothing is left under another root
    key, else 1. The whole course is in docs/operations/key-rotation.md.
    """
    with _rotation() as rotation:
        proof = rotation.rewrap_root(_Progress("partner and system keys"))
    if not _is_proven("another root key than the present one", proof):
        sys.exit(1)
    click.echo("If PREVIOUS_KMS_… is set, it can be taken away now, and the servers restarted.")


@server.command("rotate-key", short_help="Renew tenants' keys, or a partner's.")
@click.option(
    "--tenant",
    callback=_id_form(TENANT_ID, PARTNER_ID),
    metavar="ID",
    help="Renew this tenant's key, or, by the partner's id, that of what its tenants share.",
)
@click.option("--partner", callback=_id_form(PARTNER_ID), metavar="ID", help="Renew this partner's key.")
@click.option("--all-tenants", is_flag=True, help="Renew every tenant's key, one after the other.")
@click.option(
    "--older-than",
    callback=_duration,
    metavar="DURATION",
    help="With --all-tenants: leave tenants whose key is younger, such as 90d. To go on where a run was interrupted, "
    "say how long ago it began.",
)
def rotate_key(tenant: str | None, partner: str | None, all_tenants: bool, older_than: timedelta | None) -> None:
    """Renew the key of a tenant, of all tenants, or of a partner.

    The next version is made, everything under the older ones is wrapped anew, and they are removed. Values are not
    touched, and reads and writes go on.

    Safe to interrupt and to repeat: a rotation that was interrupted is finished, not begun again. Exit 0 with the proof
    that nothing is left under an older version, else 1.
    """
    if [tenant is not None, partner is not None, all_tenants].count(True) != 1:
        raise click.UsageError("Say one of --tenant ID, --partner ID and --all-tenants.")
    if older_than is not None and not all_tenants:
        raise click.UsageError("--older-than goes with --all-tenants.")
    with _rotation() as rotation:
        if partner is not None:
            proof = rotation.rotate_partner(partner, _Progress(f"tenant keys of {partner}"))
            sys.exit(0 if _is_proven(f"older keys of {partner}", proof) else 1)
        tenants = [tenant] if tenant is not None else rotation.tenants(older_than)
        proven = [
            _is_proven(f"older keys of {each}", rotation.rotate_tenant(each, _Progress(f"data keys of {each}")))
            for each in tenants
        ]
    if all_tenants:
        click.echo(f"Tenants: {len(proven)}, of which {proven.count(False)} are not done.")
    if not all(proven):
        sys.exit(1)


@server.command()
def openapi() -> None:
    """Print the API's OpenAPI document. Needs no configuration."""
    from scaivault.app import create_app  # noqa: PLC0415 - the other commands need no application
    from scaivault.bootstrap.api import build  # noqa: PLC0415

    placeholders = {"BASE_URL": "https://vault.example.com", "KMS_PROVIDER": "local", "KMS_LOCAL_KEY_FILE": "/none"}
    nowhere = {"DATABASE_URL": "postgresql://nowhere", "REDIS_URL": "redis://nowhere"}
    app = create_app(build(Settings.from_env(placeholders | nowhere)))
    document = app.test_client().get("/v1/openapi.json").get_json()
    click.echo(json.dumps(document, indent=2, sort_keys=True))


class _Progress:
    """A line that grows with the work: count, rate and what is left of the time; lines, where nobody is looking."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._is_watched = sys.stderr.isatty()
        self._next_at = self._began + (0 if self._is_watched else PROGRESS_LINE_SECONDS)

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._next_at and not (self._is_watched and done >= total):
            return
        self._next_at = now + (PROGRESS_SECONDS if self._is_watched else PROGRESS_LINE_SECONDS)
        rate = done / max(now - self._began, 0.001)
        # Live writes under the old key may come on top of what was counted at the start.
        left = f", {(total - done) / rate:,.0f} s left" if rate and done < total else ""
        line = f"{self._what}: {done:,} of {max(done, total):,}, {rate:,.0f}/s{left}"
        click.echo(f"\r\x1b[K{line}" if self._is_watched else line, err=True, nl=not self._is_watched)
        if self._is_watched and done >= total:
            click.echo(err=True)


def _administrator(identity: str, name: str) -> "Identity":
    from scaivault.features.identity.model import USER_ID, Identity  # noqa: PLC0415 - the other commands need no services

    if re.fullmatch(USER_ID, identity, re.ASCII) is None:
        raise click.BadParameter("write user:NAME, such as user:alice@example.com", param_hint="--admin")
    return Identity(identity, name, roles=frozenset({Role.TENANT_ADMIN}))


@contextmanager
def _services(in_vain: str) -> Iterator["Services"]:
    """This installation's services; an error ends the command, with what that means."""
    from scaivault.bootstrap.api import build  # noqa: PLC0415 - the other commands need no services

    services = build(_settings_or_exit())
    services.open()
    try:
        yield services
    except VaultError as error:
        _fail(f"{in_vain} {error.message}")
    finally:
        services.close()


@contextmanager
def _rotation() -> Iterator["KeyRotation"]:
    """The key rotation of this installation; an error ends the command with what to do next."""
    from scaivault.bootstrap.api import build  # noqa: PLC0415 - the other commands need no services

    services = build(_settings_or_exit())
    os.nice(ROTATION_NICENESS)
    services.open()
    try:
        yield services.rotation
    except Unavailable as error:
        _fail(f"{error.message} Everything is readable as before; run it again to go on.")
    except VaultError as error:
        _fail(error.message)
    finally:
        services.close()


def _is_proven(under: str, proof: "Proof") -> bool:
    """Print what was counted at the end."""
    version = f" Version {proof.version} is in force." if proof.version else ""
    click.echo(f"Wrapped anew: {proof.rewrapped:,}. Left under {under}: {proof.left:,}.{version}")
    if proof.is_complete:
        return True
    click.echo("What is left is as it was. These do not open, because they are not what was written:", err=True)
    for name in proof.unreadable[:MOST_NAMED]:
        click.echo(f"  {name}", err=True)
    if len(proof.unreadable) > MOST_NAMED:
        click.echo(f"  and {len(proof.unreadable) - MOST_NAMED} more", err=True)
    click.echo(
        "Set PREVIOUS_KMS_… if that is the root key they are under, else restore or delete them. Then run it again.",
        err=True,
    )
    return False


def _for_migrations() -> Mapping[str, str]:
    """The environment, with something in place of what migrations have no use for: all but the database."""
    given = {name: value for name, value in process_environ().items() if value}
    unused = {"BASE_URL": "https://unused.invalid", "REDIS_URL": "redis://unused.invalid"}
    if "KMS_PROVIDER" not in given:
        unused |= {"KMS_PROVIDER": "local", "KMS_LOCAL_KEY_FILE": "/unused"}
    return {name: value for name, value in unused.items() if f"{name}_FILE" not in given} | given


def _settings_or_exit(environ: Mapping[str, str] | None = None) -> Settings:
    try:
        return Settings.from_env(environ)
    except SettingsInvalid as invalid:
        click.echo("The configuration has faults:", err=True)
        for fault in invalid.faults:
            click.echo(f"  {fault}", err=True)
        sys.exit(FAULTY)


def _shown(value: object) -> str:
    """A setting for a person's eyes: of a URL with a password only where it leads, of any other secret nothing."""
    match value:
        case None | ():
            return "-"
        case SecretStr():
            parts = urlsplit(value.get_secret_value())
            port = f":{parts.port}" if parts.port else ""
            return f"{parts.scheme}://***@{parts.hostname}{port}{parts.path}" if parts.hostname else HIDDEN
        case tuple():
            return ", ".join(str(each) for each in value)
        case _:
            return str(value)


def _fail(message: str, status: int = 1) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
