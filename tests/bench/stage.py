"""The stage: durable PostgreSQL, Valkey, the API and its floor on loopback, in a folder that is removed afterwards."""

import fcntl
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from scaivault.bootstrap.api import build
from scaivault.bootstrap.services import Services
from scaivault.crypto.kms.local import write_key_file
from scaivault.dev import api, postgres, processes, scaikey, valkey
from scaivault.dev.issuer import Issuer
from scaivault.dev.plan import Plan, make_folders
from scaivault.features.identity.model import Identity
from scaivault.kernel.caller import Role, Scope
from scaivault.settings import RATE_LIMIT_PREFIX, RATE_LIMITS, Settings, process_environ
from scaivault.storage import migrate
from tests.bench.wire import LOOPBACK, BenchFault, Line, call, request

PARTNER = "ptn_bench"
TENANT, FLOOR_TENANT, SMALL_TENANT, LARGE_TENANT = "tnt_bench", "tnt_floor", "tnt_small", "tnt_large"
DEPLOYER = "user:deploy@bench.example"
# A disk, where /tmp may be memory: a commit must cost what it costs.
PLACE = "/var/tmp"  # noqa: S108 - mkdtemp makes it ours alone
PREFIX = "scaivault-bench-"
FLOOR_SECONDS = 30
# A handful of policies, as a real identity has them; one of them grants.
POLICIES = {
    "readers": [("shared/**", ["read", "list"]), ("docs/*", ["read"])],
    "billing": [("billing/**", ["read", "write"]), ("billing/legacy/**", ["list"])],
    "deployers": [("bench/**", ["read", "write", "list"]), ("ci/*/tokens/**", ["read"])],
    "on-call": [("prod/*/credentials/*", ["read"]), ("prod/*/certificates/**", ["read", "list"])],
}
DENIED = {"path_pattern": "bench/forbidden/**", "permissions": ["read", "write"], "effect": "deny"}


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """What the bench signs in with. No repr: they are secrets."""

    deployer: str
    web_deployer: str
    """The same identity's, as its issuer vouches for it."""
    small: str
    large: str


@dataclass(frozen=True)
class Stage:
    """The servers, running."""

    plan: Plan
    settings: Settings
    database: postgres.Server
    api: api.Server
    floor_port: int
    tokens: Tokens
    issuer: Issuer
    environ: Mapping[str, str] = field(repr=False)
    """What the API was started with."""

    @property
    def superuser_url(self) -> str:
        return self.database.url(user=postgres.SUPERUSER)

    @property
    def request_threads(self) -> int:
        return self.settings.web_concurrency * self.settings.web_threads


@contextmanager
def raised() -> Iterator[Stage]:
    """All servers, answering; ended and forgotten afterwards."""
    with ExitStack() as stack:
        folder = _folder(stack)
        plan = Plan(
            folder,
            processes.kept_port(folder / "api.port"),
            processes.kept_port(folder / "ops.port"),
            processes.kept_port(folder / "exporter.port"),
            processes.kept_port(folder / "worker.port"),
            {},
        )
        make_folders(plan)
        database = postgres.start(folder / "postgres", plan.logs / "postgres.log", postgres.DURABLE)
        stack.callback(database.stop)
        cache = valkey.start(folder / "valkey", plan.logs / "valkey.log")
        stack.callback(cache.stop)
        provider = scaikey.start(folder / "scaikey", plan.logs / "scaikey.log", process_environ())
        stack.callback(provider.stop)
        scaikey.await_ready(provider)
        environ = _environ(plan, database.url(), cache.url()) | {"SCAIKEY_URL": provider.issuer.url}
        settings = Settings.from_env(environ)
        write_key_file(plan.key_file, development=True)
        migrate.apply(database.url())
        services = build(settings)
        services.open()
        admins, tokens = _people(services, provider.issuer)
        services.close()
        _give_floor_a_key(database.url())
        server = api.start(plan, environ, settings)
        stack.callback(server.stop)
        api.await_ready(server, plan, settings)
        _allow(plan.port, admins)
        yield Stage(
            plan, settings, database, server, _start_floor(stack, plan, environ), tokens, provider.issuer, environ
        )


def _folder(stack: ExitStack) -> Path:
    """A folder for this run, with which it ends; that of a run that was killed has nobody to hold its lock, and goes too."""
    for left in Path(PLACE).glob(f"{PREFIX}*"):
        with suppress(OSError), (left / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PLACE))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    lock = stack.enter_context((folder / "lock").open("wb"))
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder


def _environ(plan: Plan, database_url: str, redis_url: str) -> dict[str, str]:
    """As `make run` has it, with limits that nobody reaches."""
    kept = {name: value for name, value in process_environ().items() if name in {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}}
    limits = {RATE_LIMIT_PREFIX + category: "1000000000" for category in RATE_LIMITS}
    return plan.api_environ({"DATABASE_URL": database_url, "REDIS_URL": redis_url}) | kept | limits


def _start_floor(stack: ExitStack, plan: Plan, environ: Mapping[str, str]) -> int:
    """The floor under gunicorn, answering; its port."""
    port = processes.kept_port(plan.folder / "floor.port")
    command = [sys.executable, "-m", "gunicorn", "--config", "python:tests.bench.floor_conf", "tests.bench.floor:app"]
    log = plan.logs / "floor.log"
    own = {"BIND_ADDRESS": f"{LOOPBACK}:{port}", "METRICS_DIR": str(plan.folder / "no-metrics")}
    process = processes.spawn(processes.leashed(command, on_our_death="TERM"), log, {**environ, **own})
    stack.callback(processes.stop, process, 15, 10)
    line = Line(port)
    deadline = time.monotonic() + FLOOR_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            line.ask(request("GET", "/", "none").raw)
        except OSError:
            time.sleep(0.05)
        else:
            line.close()
            return port
    raise BenchFault(f"The floor did not start:\n{processes.last_lines(log, 20)}")


def _people(services: Services, issuer: Issuer) -> tuple[Mapping[str, str], Tokens]:
    """The tokens of the tenants' administrators, by tenant, and those of the bench itself."""
    installer = services.installer
    roles = frozenset({Role.TENANT_ADMIN})
    everything = frozenset(Scope)
    admin = Identity("user:admin@bench.example", "Administrator", roles=roles)
    first = installer.install("Bench", "Bench", admin, partner_id=PARTNER, tenant_id=TENANT)
    admins = {TENANT: first.token}
    for tenant in (FLOOR_TENANT, SMALL_TENANT, LARGE_TENANT):
        installer.add_tenant(first.partner_id, tenant, tenant)
    for tenant in (SMALL_TENANT, LARGE_TENANT):
        admins[tenant] = installer.add_holder(tenant, admin, everything, "bench")
    groups = frozenset({"group:billing", "group:deployers", "group:everybody"})
    scopes = frozenset({Scope.SECRETS_READ, Scope.SECRETS_WRITE, Scope.SECRETS_LIST})
    deployer = installer.add_holder(TENANT, Identity(DEPLOYER, "Deployer", groups), scopes, "bench")
    said = {"sub": "usr_deploy", "email": DEPLOYER.removeprefix("user:"), "scope": " ".join(sorted(scopes))}
    web_deployer = issuer.token({**said, "tenant_id": TENANT, "partner_id": first.partner_id})
    return admins, Tokens(deployer, web_deployer, admins[SMALL_TENANT], admins[LARGE_TENANT])


def _give_floor_a_key(database_url: str) -> None:
    """The key that the floor's rows say they are under, in a partner of its own: nothing ever opens it."""
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO partners (id, name) VALUES ('ptn_floor', 'Floor')")
        connection.execute("UPDATE tenants SET partner_id = 'ptn_floor' WHERE id = %s", [FLOOR_TENANT])
        connection.execute(
            "INSERT INTO partner_keys (partner_id, version, wrapped, kms_key_id) VALUES ('ptn_floor', 1, '', 'none')"
        )
        connection.execute(
            "INSERT INTO tenant_keys (tenant_id, version, wrapped, wrapping_version) VALUES (%s, 1, '', 1)",
            [FLOOR_TENANT],
        )


def _allow(port: int, admins: Mapping[str, str]) -> None:
    """The policies, through the front door."""
    for name, rules in POLICIES.items():
        spelled = [{"path_pattern": pattern, "permissions": permissions} for pattern, permissions in rules]
        subject = {"identity_type": "group", "identity_id": "group:deployers"}
        _bind(port, admins[TENANT], name, [*spelled, DENIED] if name == "deployers" else spelled, subject)
    for tenant in (SMALL_TENANT, LARGE_TENANT):
        subject = {"identity_type": "user", "identity_id": "user:admin@bench.example"}
        _bind(port, admins[tenant], "all", [{"path_pattern": "**", "permissions": ["admin"]}], subject)


def _bind(port: int, token: str, name: str, rules: list[dict[str, object]], subject: Mapping[str, str]) -> None:
    policy = call(port, token, "POST", "/v1/policies", {"name": name, "rules": rules}, status=201)
    call(port, token, "POST", f"/v1/policies/{policy['id']}/bindings", subject, status=201)
