"""The chart and the code are of one mind: variables, defaults, ports, users, what is copied and what is made."""

import re
from pathlib import Path

import helm_python as helm
import pytest
import yaml

from exporter.settings import ExporterSettings
from scaivault.settings import SECRETS, Settings, variables
from tests.deploy.charts import CHART, EXAMPLES, EXTRA, Rendered, environ, example
from tools import chart as generated
from tools.monitoring.runbooks import RUNBOOK_BASE

CHECKOUT = Path(__file__).parents[2]
OF_A_FILE = {f"{name}_FILE": name for name in SECRETS}


@pytest.fixture(scope="module", params=EXAMPLES)
def rendered(request):
    return Rendered(example(request.param))


@pytest.fixture(scope="module")
def all_rendered():
    return [Rendered(example(name)) for name in EXAMPLES]


def test_no_secret_is_in_the_environment(rendered):
    for container in rendered.containers().values():
        assert not set(SECRETS) & environ(container).keys()


def test_files_that_variables_name_are_mounted(rendered):
    for container in rendered.containers().values():
        places = tuple(mount["mountPath"] for mount in container["volumeMounts"])
        for name, value in environ(container).items():
            if name.endswith(("_FILE", "_CERTIFICATE", "METRICS_DIR")):  # a library may be in the image
                assert value.startswith(places), name


def test_every_variable_is_a_setting(rendered):
    for container in rendered.containers().values():
        assert environ(container).keys() <= {*variables(), *OF_A_FILE, *EXTRA}


def test_every_setting_can_be_set(all_rendered):
    """Those of `config` and all others, in at least one example."""
    told = {
        OF_A_FILE.get(name, name)
        for each in all_rendered
        for one in each.containers().values()
        for name in environ(one)
    }
    assert set(variables()) - told == set()
    assert set(generated.config()) == set(variables()) - generated.NOT_IN_CONFIG.keys()


def test_what_is_configured_is_what_a_process_would_take(rendered, tmp_path):
    """The readers of the settings themselves read each container's environment, with files in place of mounted ones."""
    readers = {"api": Settings, "worker": Settings, "exporter": ExporterSettings}
    for name in readers.keys() & rendered.containers().keys():
        given = environ(rendered.containers()[name])
        readers[name].from_env({key: on_this_machine(key, value, tmp_path) for key, value in given.items() if value})


def on_this_machine(name, value, folder):
    """Where a variable names a file, one that is here."""
    if name not in OF_A_FILE and not name.endswith(("_FILE", "_LIBRARY", "_CERTIFICATE")):
        return value
    file = folder / name
    file.write_text({"DATABASE_URL": "postgresql://db", "REDIS_URL": "redis://cache"}.get(said_by(name), "a=b"))
    return str(file)


def said_by(name):
    return OF_A_FILE.get(name, name).removeprefix("EXPORTER_")


def test_values_that_the_chart_reckons_with_are_the_codes_own_defaults():
    with helm.Chart.load(CHART) as chart:
        config = {name: value for name, value in chart.values["config"].items() if name != "BASE_URL"}
    assert config == {name: Settings.model_fields[name.lower()].default for name in config}


def test_every_port_is_one_that_the_code_listens_on(rendered):
    """And what it listens on is a port of the container, which nothing else has."""
    for name, container in rendered.containers().items():
        bound = {
            int(value.rpartition(":")[2]) for key, value in environ(container).items() if key.endswith("BIND_ADDRESS")
        }
        assert {each["containerPort"] for each in container.get("ports", [])} == bound
        assert bound or name == "migration"


def test_the_default_ports_are_those_of_the_code_and_of_the_image():
    containers = Rendered(example("minimal")).containers()
    told = {
        name: value
        for each in containers.values()
        for name, value in environ(each).items()
        if name.endswith("BIND_ADDRESS")
    }
    ports = {name: int(value.rpartition(":")[2]) for name, value in told.items()}
    assert ports == {name: Settings.model_fields[name.lower()].default.port for name in ports}
    assert len(ports) == 4
    exposed = re.search(r"^EXPOSE (.*)$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)[1]
    assert {int(port) for port in exposed.split()} == set(ports.values())


def test_the_default_user_is_the_images():
    pod = Rendered(example("minimal")).pods()["api"]
    user = re.search(r"^USER (\d+):(\d+)$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    security = pod["spec"]["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"]) == (int(user[1]), int(user[2]))


def test_a_pod_has_longer_to_end_than_its_server_takes(rendered):
    """The two formulas of docs/operations/draining.md."""
    pods = rendered.pods()
    config = environ(rendered.containers()["api"])
    drain, shutdown = int(config["DRAIN_SECONDS"]), int(config["SHUTDOWN_SECONDS"])
    assert drain + shutdown + 6 < pods["api"]["spec"]["terminationGracePeriodSeconds"]
    assert shutdown + 6 < pods["worker"]["spec"]["terminationGracePeriodSeconds"]
    probe = rendered.containers()["api"]["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] + 2 <= drain
    assert "lifecycle" not in rendered.text


def originals(folder):
    return {Path(name).name: text for name, text in generated.files().items() if name.startswith(f"files/{folder}/")}


def test_rules_and_dashboards_are_those_of_the_project():
    """Copies, since Helm reads nothing outside of a chart: `make docs` makes them."""
    chart = Rendered(example("production"))
    groups = [yaml.safe_load(text)["groups"] for _, text in sorted(originals("prometheus-rules").items())]
    assert [each["spec"]["groups"] for each in chart.of("PrometheusRule")] == groups != []
    shown = {name: text for each in chart.of("ConfigMap") for name, text in each["data"].items()}
    assert shown == originals("grafana") != {}
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in chart.of("ConfigMap"))


def test_runbooks_may_be_elsewhere():
    """The alerts are otherwise as they were."""
    elsewhere = Rendered(example("everything")).of("PrometheusRule")
    for mine, theirs in zip(elsewhere, Rendered(example("production")).of("PrometheusRule"), strict=True):
        for rule in (rule for group in mine["spec"]["groups"] for rule in group["rules"] if "alert" in rule):
            assert rule["annotations"]["runbook_url"] == f"https://wiki.example.com/runbooks/{rule['alert']}"
        assert without_runbooks(mine) == without_runbooks(theirs)


def test_dashboards_lead_to_the_runbooks_that_are_elsewhere():
    """And are otherwise those of the project, in every character."""
    base = "https://wiki.example.com/runbooks"
    shown = {
        name: text for each in Rendered(example("everything")).of("ConfigMap") for name, text in each["data"].items()
    }
    assert shown == {name: text.replace(RUNBOOK_BASE, base) for name, text in originals("grafana").items()}
    assert all(base in text for text in shown.values())


def without_runbooks(rules):
    return re.sub(r"'runbook_url': '[^']*'", "", str(rules["spec"]))


def test_what_is_made_from_other_files_is_as_it_would_be_made():
    for name, text in generated.files().items():
        assert (CHART / name).read_text() == text, f"{name}: make docs"
    copies = [file for folder, pattern in generated.COPIED for file in (CHART / "files" / folder).glob(pattern)]
    assert {str(file.relative_to(CHART)) for file in copies} <= generated.files().keys()


def test_the_table_has_every_value():
    rows = [row.path for row in generated.rows_of((CHART / "values.yaml").read_text())]
    assert len(rows) == len(set(rows))
    with helm.Chart.load(CHART) as chart:
        missing = [
            path for path in leaves(chart.values) if not any(path == row or path.startswith(f"{row}.") for row in rows)
        ]
    assert missing == []


def leaves(values, path=""):
    for name, value in values.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here


def test_the_chart_installs_this_release():
    with helm.Chart.load(CHART) as chart:
        version = re.search(r"^version = (.*)$", (CHECKOUT / "setup.cfg").read_text(), re.MULTILINE)[1]
        assert chart.metadata["appVersion"] == version
    image = Rendered(example("minimal")).containers()["api"]["image"]
    assert image == f"registry.example.com/scaivault:{version}"


def test_the_values_in_the_readme_are_enough():
    (values,) = re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)
    assert Rendered(helm.values_from_yaml(values)).of("Deployment")
