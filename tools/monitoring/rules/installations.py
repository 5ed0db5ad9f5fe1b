"""What one installation of the vault is to Prometheus, and how it is known that a part of it is gone."""

# Who runs several tells them apart by these. Other labels of a target (a zone) are of its instances.
INSTALLATION = "cluster, namespace, release"
EVERY_JOB = 'job=~"scaivault|scaivault-worker|scaivault-exporter"'


def gone(job: str) -> str:
    """Installations of which any process was scraped within an hour, and none of this job's is reached.

    Pods that are gone leave Prometheus's list of targets: there is no `up` that is 0, and `absent` would see those of
    other installations. What is taken down on purpose is forgotten after the hour.
    """
    known = f"group by ({INSTALLATION}) (last_over_time(up{{{EVERY_JOB}}}[1h]))"
    return f'{known}\nunless on ({INSTALLATION}) (up{{job="{job}"}} == 1)'


def up(job: str, values: str, instance: str = "a", **labels: str) -> dict[str, str]:
    """Of a story: whether a target of an installation was reached."""
    told = "".join(f',{name}="{value}"' for name, value in labels.items())
    return {f'up{{job="{job}",instance="{instance}"{told}}}': values}


def every_job(values: str, **labels: str) -> dict[str, str]:
    """Of a story: an installation with one process of each kind."""
    api, worker, exporter = (up(f"scaivault{kind}", values, **labels) for kind in ("", "-worker", "-exporter"))
    return api | worker | exporter
