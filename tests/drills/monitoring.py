"""Prometheus and Alertmanager over a stack: the product's rules in a hurry, every notice to the pager at once."""

import json
import os
import shutil
import signal
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from scaivault.dev import processes
from tests.faults.test_dependencies import await_true
from tests.ports import free_port
from tests.prometheus import Prometheus
from tests.tools import program

METRICS = {
    "scaivault": {"metrics_path": "/v1/metrics", "params": {"scope": ["pod"]}},
    "scaivault-worker": {"metrics_path": "/v1/metrics", "params": {"scope": ["pod"]}},
    "scaivault-exporter": {},
}
TEMPLATES = "/usr/share/prometheus/alertmanager"


@dataclass(frozen=True)
class Monitoring:
    prometheus: Prometheus
    alertmanager_url: str

    def query(self, expression):
        """The series that an expression gives now."""
        return self.prometheus.get("query", query=expression)["result"]


@contextmanager
def watched(folder, stack, rules, pager):
    """`rules` are files by name. JSON is YAML, and needs no library."""
    with ExitStack() as servers:
        alertmanager_url = _alertmanager(folder, pager, servers)
        for name, text in rules.items():
            (folder / name).write_text(text)
        prometheus = Prometheus(folder, json.dumps(_configuration(stack, rules, alertmanager_url)))
        servers.callback(prometheus.close)
        await_true(lambda: _all_up(prometheus), 60)
        yield Monitoring(prometheus, alertmanager_url)


def _all_up(prometheus):
    targets = prometheus.targets()
    return len(targets) == len(METRICS) and all(target["health"] == "up" for target in targets)


def _configuration(stack, rules, alertmanager_url):
    jobs = [
        {"job_name": job, **METRICS[job], "static_configs": [{"targets": [url.removeprefix("http://")]}]}
        for job, url in stack.ops_urls.items()
    ]
    alertmanagers = [{"static_configs": [{"targets": [alertmanager_url.removeprefix("http://")]}]}]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": list(rules),
        "alerting": {"alertmanagers": alertmanagers},
        "scrape_configs": jobs,
    }


def _alertmanager(folder, pager, servers):
    """Each alert in a group of its own and none inhibited: what hides behind another must be seen here all the same."""
    configuration = {
        "route": {
            "receiver": "pager",
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        },
        "receivers": [{"name": "pager", "webhook_configs": [{"url": pager.url, "send_resolved": True}]}],
    }
    file = folder / "alertmanager.yml"
    file.write_text(json.dumps(configuration))
    address = f"127.0.0.1:{free_port()}"
    process = processes.spawn(
        [
            *(
                "env",
                "-C",
                str(folder),
                _at_home_in(folder),
                f"--config.file={file}",
                "--storage.path=data-of-alertmanager",
            ),
            *(f"--web.listen-address={address}", "--cluster.listen-address=", "--log.level=warn"),
        ],
        folder / "alertmanager.log",
        {"PATH": os.defpath},
    )
    servers.callback(processes.stop, process, signal.SIGTERM, 10)
    await_true(lambda: _answers(f"http://{address}/-/ready"), 60)
    return f"http://{address}"


def _at_home_in(folder):
    """A program that finds its templates when it is started in `folder`.

    Debian's build has the place compiled in where the package puts them, and knows no option for it; unpacked beside
    the venv they are elsewhere. In a copy of it that place is the folder it is started in, spelled as long.
    """
    unpacked = Path(program("prometheus-alertmanager"))
    templates = unpacked.parents[1] / TEMPLATES.lstrip("/").removeprefix("usr/")
    for template in templates.glob("*.tmpl"):
        shutil.copy(template, folder)
    here = "./" * (len(TEMPLATES) // 2)
    assert len(here) == len(TEMPLATES)
    copy = folder / "alertmanager"
    copy.write_bytes(unpacked.read_bytes().replace(TEMPLATES.encode(), here.encode()))
    copy.chmod(0o700)
    return str(copy)


def _answers(url):
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False
