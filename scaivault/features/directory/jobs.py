"""What the worker does for the directory."""

from datetime import timedelta

from scaivault.features.directory.service.reconciliation import SyncRunner
from scaivault.features.directory.service.syncs import SyncService


def run_syncs(runner: SyncRunner) -> None:
    """Do the syncs that wait. To be run every second, by any number of processes."""
    while runner.run_next():
        pass


def schedule_sync(syncs: SyncService, interval: timedelta) -> bool:
    """Have the whole directory read once an interval. To be run as often as one likes, by any number of processes."""
    return syncs.schedule(interval)
