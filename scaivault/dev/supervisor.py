"""`make run`: everything the product needs, started in order on this machine and ended in reverse."""

import fcntl
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from subprocess import Popen
from typing import NoReturn, Protocol, TypeVar

import click

from scaivault.crypto.kms.local import write_key_file
from scaivault.dev import api, exporter, greeting, postgres, processes, scaikey, seed, valkey, worker
from scaivault.dev.interrupts import Interrupts, StopRequested
from scaivault.dev.issuer import VAULT_CLIENT_ID
from scaivault.dev.plan import TENANT, Plan, make_folders
from scaivault.dev.processes import DevFault
from scaivault.kernel.errors import VaultError
from scaivault.settings import Settings, SettingsInvalid, process_environ
from scaivault.storage import migrate

PREDECESSOR_SECONDS = 45
PLACEHOLDERS = {"DATABASE_URL": "postgresql://to.come", "REDIS_URL": "redis://to.come"}


class Server(Protocol):
    @property
    def process(self) -> Popen[bytes]: ...

    def stop(self) -> bool: ...


AnyServer = TypeVar("AnyServer", bound=Server)


def run() -> int:
    """Run until told to stop. The exit status: 0 when told, 1 when something did not work."""
    interrupts = Interrupts()
    try:
        plan = Plan.of(process_environ())
        make_folders(plan)
        with _alone_in(plan), ExitStack() as stack:
            House(plan, stack, interrupts).serve()
    except StopRequested:
        click.echo("Stopped.")
        return 0
    except SettingsInvalid as invalid:
        message = f"The configuration has faults:\n{invalid}"
    except VaultError as error:
        message = error.message
    except DevFault as fault:
        message = str(fault)
    click.echo(message, err=True)
    return 1


class House:
    """The servers of one `make run`. `stack` ends them in reverse order."""

    def __init__(self, plan: Plan, stack: ExitStack, interrupts: Interrupts) -> None:
        self._plan = plan
        self._stack = stack
        self._interrupts = interrupts
        self._children: dict[str, Popen[bytes]] = {}
        self._database: postgres.Server | None = None
        self._began = time.monotonic()

    def serve(self) -> NoReturn:
        """Start everything, say so, and wait for the end."""
        try:
            self._start()
            self._await_death()
        finally:
            self._interrupts.ignore()

    def _start(self) -> None:
        plan = self._plan
        to_come = {name: url for name, url in PLACEHOLDERS.items() if not plan.brings(name)}
        Settings.from_env(plan.api_environ(to_come))  # faults are told before anything is started
        found = self._start_servers()
        provider = self._start_provider(found)
        environ = plan.api_environ(found)
        settings = Settings.from_env(environ)
        if not plan.key_file.exists():
            write_key_file(plan.key_file, development=True)
        applied = migrate.apply(settings.database_url.get_secret_value())
        self._step(f"schema up to date ({applied} migrations applied)")
        server = self._keep("API", lambda: api.start(plan, environ, settings))
        api.await_ready(server, plan, settings)
        self._step(f"API ready with {settings.web_concurrency} workers")
        self._keep("worker", lambda: worker.start(plan, environ, settings))
        self._step(f"worker on 127.0.0.1:{plan.worker_port}")
        tokens = seed.ensure(settings, plan.folder / "tokens")
        self._step(f"tenant {TENANT} with an administrator and a reader")
        if self._database is not None and not plan.brings("EXPORTER_DATABASE_URL"):
            environ |= {"EXPORTER_DATABASE_URL": postgres.ensure_exporter(self._database)}
        looking = self._keep("exporter", lambda: exporter.start(plan, environ))
        exporter.await_ready(looking, plan, settings)
        self._step(f"exporter on {settings.exporter_bind_address}")
        if provider is not None:
            scaikey.await_ready(provider)
            self._step(f"ScaiKey stand-in on 127.0.0.1:{provider.port}")
        self._stack.callback(plan.env_file.unlink, missing_ok=True)
        greeting.write_env(plan, settings, tokens, None if provider is None else provider.issuer)
        click.echo(greeting.words(plan, settings))

    def _start_servers(self) -> dict[str, str]:
        """PostgreSQL and Valkey, unless the user brings their own; the URLs of those we started."""
        plan, found = self._plan, {}
        if not plan.brings("DATABASE_URL"):
            folder, log = plan.folder / "postgres", plan.logs / "postgres.log"
            database = self._database = self._keep("PostgreSQL", lambda: postgres.start(folder, log))
            found["DATABASE_URL"] = database.url()
            self._step(f"PostgreSQL on 127.0.0.1:{database.port}")
        if not plan.brings("REDIS_URL"):
            cache = self._keep("Valkey", lambda: valkey.start(plan.folder / "valkey", plan.logs / "valkey.log"))
            found["REDIS_URL"] = cache.url()
            self._step(f"Valkey on 127.0.0.1:{cache.port}")
        return found

    def _start_provider(self, found: dict[str, str]) -> scaikey.Server | None:
        """A stand-in for ScaiKey, unless the user brings one; its URL, and the others, are noted as ours."""
        plan, provider = self._plan, None
        if not (plan.brings("SCAIKEY_URL") or plan.brings("SCAIKEY_JWKS_URL")):
            folder, log = plan.folder / "scaikey", plan.logs / "scaikey.log"
            provider = self._keep("ScaiKey", lambda: scaikey.start(folder, log, plan.environ))
            found["SCAIKEY_URL"] = scaikey.url_at(provider.port)
        if found:
            processes.write_private(plan.own_urls_file, "".join(f"{url}\n" for url in found.values()))
        if provider is not None:
            # Instead of the client's, which a shell that has sourced `env` would give us.
            found["SCAIKEY_CLIENT_ID"] = VAULT_CLIENT_ID
            found["SCAIKEY_CLIENT_SECRET"] = provider.issuer.client_secret(VAULT_CLIENT_ID)
        return provider

    def _keep(self, name: str, start: Callable[[], AnyServer]) -> AnyServer:
        """Start a server and see to it that it is stopped."""
        with self._interrupts.atomic():
            server = start()
            self._stack.callback(_stop, name, server)
            self._children[name] = server.process
        return server

    def _step(self, what: str) -> None:
        click.echo(f"[{time.monotonic() - self._began:5.1f} s] {what}")

    def _await_death(self) -> NoReturn:
        """Sleep until a child ends, which none should before we say so."""
        with ExitStack() as handles:
            waiting = select.poll()
            for child in self._children.values():
                handle = os.pidfd_open(child.pid)
                handles.callback(os.close, handle)
                waiting.register(handle, select.POLLIN)
            waiting.poll()
        name, child = next((name, child) for name, child in self._children.items() if child.poll() is not None)
        raise DevFault(
            f"{name} ended by itself (status {child.returncode}): see {self._plan.logs}. Everything is stopped."
        )


def _stop(name: str, server: Server) -> None:
    click.echo(f"Stopping {name} …")
    if not server.stop():
        click.echo(f"{name} did not end in time and was killed.", err=True)


@contextmanager
def _alone_in(plan: Plan) -> Iterator[None]:
    """DEV_DIR is ours alone, nothing of an earlier run is left in the way, and the ports are free."""
    with processes.private_append(plan.folder / "lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"Another `make run` works in {plan.folder}: stop it, or set DEV_DIR and the ports."
            raise DevFault(message) from None
        plan.env_file.unlink(missing_ok=True)
        processes.outlive_predecessor(plan.api_pid_file, plan.api_name, PREDECESSOR_SECONDS)
        plan.require_free_ports()
        yield


if __name__ == "__main__":
    sys.exit(run())
