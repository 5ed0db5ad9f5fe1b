"""`python -m exporter`: look at the deployment and tell Prometheus, until SIGTERM."""

import signal
import sys
import threading

import click

from exporter.bootstrap import build, look_once
from exporter.itself import VERSION
from exporter.settings import ExporterSettings
from scaivault.observability import logs
from scaivault.settings import SettingsInvalid

FAILED, FAULTY = 1, 2


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--once", is_flag=True, help="Look once, print what there is to tell, and end; fail if a look did.")
@click.version_option(VERSION, "--version", message="scaivault exporter %(version)s")
def main(*, once: bool) -> None:
    """Tell Prometheus how a ScaiVault deployment is: its secrets, their readers, its root key.

    Looks at PostgreSQL, Redis and the key service every EXPORTER_INTERVAL_SECONDS (15) and answers at
    EXPORTER_BIND_ADDRESS (127.0.0.1:9465): /metrics, and /healthz. Run as many as you like: the one that holds a lock
    in the database speaks for the deployment, and another takes over when it falls silent.

    Every setting is an environment variable: EXPORTER_DATABASE_URL (or DATABASE_URL), REDIS_URL and the KMS_ ones.
    docs/operations/exporter.md says what the exporter needs in the database, and how it is scraped.
    """
    try:
        settings = ExporterSettings.from_env()
    except SettingsInvalid as invalid:
        click.echo(f"The configuration has faults:\n{invalid}", err=True)
        sys.exit(FAULTY)
    logs.configure(settings.log_level, settings.log_format)
    sys.exit(_once(settings) if once else _serve(settings))


def _serve(settings: ExporterSettings) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    exporter = build(settings)
    try:
        exporter.open()
    except OSError as failure:
        click.echo(f"EXPORTER_BIND_ADDRESS {settings.address} can not be had: {failure.strerror}.", err=True)
        return FAILED
    stop.wait()
    exporter.close()
    return 0


def _once(settings: ExporterSettings) -> int:
    exposition, failed = look_once(settings)
    click.echo(exposition, nl=False)
    if failed:
        click.echo(f"Did not succeed: {', '.join(failed)}.", err=True)
    return FAILED if failed else 0


if __name__ == "__main__":
    main()
