"""Prometheus and Alertmanager over a stack: the product's rules in a hurry, every notice to the pager at once."""

import json
import os
import signal
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch

import requests
import yaml

from scaivault.dev import processes
from tests.drills.stack import CHECKOUT
from tests.ports import free_port
from tests.prometheus import Prometheus
from tests.waiting import await_true

EXAMPLE = CHECKOUT / "prometheus-rules" / "prometheus.yml"
IN_A_HURRY = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
# Each alert is in a group of its own and none inhibited: what hides behind another must be seen here all the same.
ROUTE = {
    "receiver": "pager",
    "group_by": ["..."],
    "group_wait": "0s",
    "group_interval": "1s",
    "repeat_interval": "1h",
}


@dataclass(frozen=True)
class Monitoring:
    prometheus: Prometheus
    alertmanager_url: str

    def values(self, expression):
        """What an expression gives now, of each of its series."""
        return [float(series["value"][1]) for series in self.prometheus.get("query", query=expression)["result"]]


@contextmanager
def watched(folder, stack, rules, pager, alertmanager):
    """By `rules`, files by name; `alertmanager` is how its command line begins."""
    with ExitStack() as servers:
        alertmanager_url = _alertmanager(alertmanager, folder, pager, servers)
        for name, text in rules.items():
            (folder / name).write_text(text)
        prometheus = Prometheus(folder, _configuration(stack, rules, alertmanager_url))
        servers.callback(prometheus.close)
        await_true(lambda: _all_up(prometheus, stack), 60)
        yield Monitoring(prometheus, alertmanager_url)


def _all_up(prometheus, stack):
    targets = prometheus.targets()
    return len(targets) == len(stack.ops_urls) and all(target["health"] == "up" for target in targets)


def _configuration(stack, rules, alertmanager_url):
    """The product's example, with the addresses of this run and in a hurry."""
    configuration = yaml.safe_load(EXAMPLE.read_text())
    configuration["global"] = IN_A_HURRY
    assert all(any(fnmatch(name, pattern) for pattern in configuration["rule_files"]) for name in rules)
    configuration["alerting"]["alertmanagers"] = [_only(alertmanager_url)]
    addresses = dict(stack.ops_urls)
    for job in configuration["scrape_configs"]:
        job.update(_only(addresses.pop(job["job_name"])))
    assert not addresses
    return yaml.safe_dump(configuration)


def _only(url):
    return {"static_configs": [{"targets": [url.removeprefix("http://")]}]}


def _alertmanager(program, folder, pager, servers):
    receivers = [{"name": "pager", "webhook_configs": [{"url": pager.url, "send_resolved": True}]}]
    file = folder / "alertmanager.yml"
    file.write_text(json.dumps({"route": ROUTE, "receivers": receivers}))
    address = f"127.0.0.1:{free_port()}"
    command = [
        *(*program, f"--config.file={file}", f"--storage.path={folder / 'data-of-alertmanager'}"),
        *(f"--web.listen-address={address}", "--cluster.listen-address=", "--log.level=warn"),
    ]
    leashed = processes.leashed(command, on_our_death="TERM")
    process = processes.spawn(leashed, folder / "alertmanager.log", {"PATH": os.defpath})
    servers.callback(processes.stop, process, signal.SIGTERM, 10)
    await_true(lambda: _answers(f"http://{address}/-/ready"), 60)
    return f"http://{address}"


def _answers(url):
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False
