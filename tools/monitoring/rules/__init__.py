"""Prometheus's rules: `files()` makes what is committed under prometheus-rules/ out of `ALERTS` and the records.

A new alert is an entry in a module of `alerts/`: what it watches for, what it says, and two or more stories in which it
fires or keeps silent. Numbers stand in `tools/monitoring/thresholds.py`; durations are written as Prometheus has them.
"""

from tools.monitoring.rules.alerts import ALERTS
from tools.monitoring.rules.model import Alert, Panel, Record, Seen
from tools.monitoring.rules.pace import REAL, Pace
from tools.monitoring.rules.render import files, stories
from tools.monitoring.rules.thresholds import DRILL
from tools.monitoring.thresholds import PRODUCTION, Thresholds

__all__ = [
    "ALERTS",
    "DRILL",
    "PRODUCTION",
    "REAL",
    "Alert",
    "Pace",
    "Panel",
    "Record",
    "Seen",
    "Thresholds",
    "files",
    "stories",
]
