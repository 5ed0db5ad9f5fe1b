"""The chart as Helm renders it."""

from pathlib import Path

import helm_python as helm
import yaml

CHART = Path(__file__).parents[2] / "helm" / "scaivault"
EXAMPLES = {file.name.removesuffix("-values.yaml"): file for file in sorted((CHART / "ci").glob("*-values.yaml"))}
OURS = {"api", "exporter", "worker", "migration"}
RELEASE, NAMESPACE = "acme", "vaults"


class Rendered:
    """All objects, and what Helm tells who installed them."""

    def __init__(self, values, *, is_upgrade=False):
        with helm.Chart.load(CHART) as chart:
            pages = chart.render(
                values, name=RELEASE, namespace=NAMESPACE, is_install=not is_upgrade, is_upgrade=is_upgrade
            )
        self.notes = pages.pop("scaivault/templates/NOTES.txt")
        self.text = "\n---\n".join(pages.values())
        self.objects = [each for each in yaml.safe_load_all(self.text) if each is not None]

    def of(self, kind):
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind, suffix=""):
        (found,) = [each for each in self.of(kind) if each["metadata"]["name"].endswith(suffix)]
        return found

    def pods(self):
        """The pod templates, by the component that they are of."""
        workloads = [*self.of("Deployment"), *self.of("Job")]
        templates = {
            each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["template"] for each in workloads
        }
        return templates | {each["metadata"]["labels"]["app.kubernetes.io/component"]: each for each in self.of("Pod")}

    def containers(self):
        """Those of the vault's own, by their names."""
        all_of_them = (each for pod in self.pods().values() for each in pod["spec"]["containers"])
        return {each["name"]: each for each in all_of_them if each["name"] in OURS}


def example(name):
    return helm.values_from_yaml(EXAMPLES[name].read_text())


def merged(values, changes):
    """`values` with `changes`, as Helm lays one values file over another."""
    result = dict(values)
    for name, change in changes.items():
        within = isinstance(change, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], change) if within else change
    return result


def environ(container):
    """The variables of a container, and what they are set to."""
    names = [each["name"] for each in container["env"]]
    assert len(names) == len(set(names)), "a variable is set twice"
    return {each["name"]: each.get("value") for each in container["env"]}


# What a container may be told that is no setting.
EXTRA = {each["name"] for each in example("everything")["extraEnv"] + example("pkcs11")["extraEnv"]}
EXTRA |= {each["name"] for each in example("everything")["worker"]["extraEnv"]}
