"""The chart, rendered by Helm 4 for every example in it: sound for Helm, for Kubernetes and for whoever runs it."""

import json
from pathlib import Path

import helm_python as helm
import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.deploy.charts import CHART, EXAMPLES, EXTRA, NAMESPACE, RELEASE, Rendered, environ, example

CUSTOM = json.loads((Path(__file__).parent / "custom_resources.json").read_text())
OLDEST, NEWEST = "1.27", "1.37"


@pytest.fixture(scope="module", params=EXAMPLES)
def rendered(request):
    return Rendered(example(request.param))


@pytest.mark.parametrize("name", EXAMPLES)
def test_helm_lints_it_strictly(name):
    report = helm.lint(CHART, example(name), strict=True, namespace=NAMESPACE)
    assert report["errors"] == []
    assert {message["error"] for message in report["messages"]} == {"icon is recommended"}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_knows_every_field(rendered, version):
    """By its own schemas, which know the fields there are; of custom resources by those fields that are used."""
    for each in rendered.objects:
        if each["kind"] in CUSTOM:
            jsonschema.validate(each, CUSTOM[each["kind"]])
        else:
            kubernetes_validate.validate(each, version, strict=True)


def test_the_oldest_kubernetes_is_the_one_that_the_chart_names():
    with helm.Chart.load(CHART) as chart:
        assert chart.metadata["kubeVersion"] == f">={OLDEST}.0-0"


def test_names_are_unique_and_none_is_longer_than_a_label_may_be(rendered):
    named = [(each["kind"], each["metadata"]["name"]) for each in rendered.objects]
    assert len(named) == len(set(named))
    assert all(len(name) <= 63 for _, name in named)
    assert all(each["metadata"]["labels"]["app.kubernetes.io/instance"] == RELEASE for each in rendered.objects)


def test_pods_are_what_the_restricted_profile_wants(rendered):
    for pod in rendered.pods().values():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["securityContext"].get("runAsUser", 1) > 0
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
        kinds = {"emptyDir", "secret", "projected", "configMap", "persistentVolumeClaim"}
        assert all(kinds & volume.keys() for volume in spec["volumes"])


def test_every_container_of_ours_says_what_it_needs(rendered):
    for container in rendered.containers().values():
        assert container["resources"]["limits"]["memory"]


def test_the_platform_may_pick_the_user():
    for pod in Rendered(example("unwatched")).pods().values():
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod["spec"]["securityContext"].keys()


def test_a_pod_mounts_what_it_has_and_has_what_it_mounts(rendered):
    for pod in rendered.pods().values():
        spec = pod["spec"]
        containers = [*spec["containers"], *spec.get("initContainers", [])]
        mounted = {mount["name"] for each in containers for mount in each.get("volumeMounts", [])}
        assert mounted == {each["name"] for each in spec["volumes"]}
        for container in containers:
            places = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert len(places) == len(set(places))


def test_probes_ask_the_internal_port_and_liveness_asks_for_nothing_of_others(rendered):
    for name, container in rendered.containers().items():
        if name == "migration":
            continue
        ports = {each["name"] for each in container["ports"]}
        for kind in ("startupProbe", "livenessProbe"):
            asked = container[kind]["httpGet"]
            assert asked["port"] in ports - {"api"}
            assert asked["path"] == ("/healthz" if name == "exporter" else "/v1/health")
    assert "readinessProbe" not in rendered.containers()["exporter"]


def test_selectors_find_the_pods_they_are_for(rendered):
    labels = {name: pod["metadata"]["labels"] for name, pod in rendered.pods().items()}
    selectors = [
        each["spec"]["selector"].get("matchLabels") or each["spec"]["selector"] for each in rendered.of("Service")
    ]
    for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
        selectors += [each["spec"]["selector"]["matchLabels"] for each in rendered.of(kind)]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in rendered.of("NetworkPolicy")]
    for selector in selectors:
        assert len([name for name, those in labels.items() if selector.items() <= those.items()]) == 1


def test_the_migration_needs_nothing_of_the_release(rendered):
    """A hook runs before the release's own objects exist: neither a Secret nor a ServiceAccount of it may be needed."""
    made = {(each["kind"], each["metadata"]["name"]) for each in rendered.objects}
    for job in rendered.of("Job"):
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        spec = job["spec"]["template"]["spec"]
        assert job["spec"]["ttlSecondsAfterFinished"] > 0, "it would outlive the release"
        assert ("ServiceAccount", spec["serviceAccountName"]) not in made
        assert not rendered.of("Secret")
        assert environ(spec["containers"][0]).keys() - EXTRA <= {
            "DATABASE_URL_FILE",
            "SCAIVAULT_ENV",
            "LOG_LEVEL",
            "LOG_FORMAT",
        }
        for policy in rendered.of("NetworkPolicy"):
            if policy["metadata"]["name"] == job["metadata"]["name"]:
                hook = policy["metadata"]["annotations"]
                assert hook["helm.sh/hook"] == "pre-install,pre-upgrade"
                assert int(hook["helm.sh/hook-weight"]) < int(job["metadata"]["annotations"]["helm.sh/hook-weight"])


def test_the_migration_has_what_others_need_to_reach_the_database():
    """Or a hook fails where PostgreSQL is known by a private CA, or by what an init container of the operator's brings."""
    pods = Rendered(example("everything")).pods()
    migration, api = pods["migration"]["spec"], pods["api"]["spec"]
    for mount in ("database-ca", "extra"):
        assert mounted(migration["containers"][0])[mount] == mounted(api["containers"][0])[mount]
    assert migration["initContainers"] == [each for each in api["initContainers"] if each["name"] == "wait"]
    assert {"nodeSelector", "tolerations", "affinity", "priorityClassName"} <= migration.keys()


def test_who_asks_a_server_knows_its_ca_and_nobody_else():
    containers = Rendered(example("everything")).containers()
    known = {name: {each for each in mounted(one) if each.endswith("-ca")} for name, one in containers.items()}
    assert known == {
        "api": {"database-ca", "redis-ca", "otlp-ca"},
        "worker": {"database-ca", "redis-ca", "otlp-ca"},
        "exporter": {"database-ca", "redis-ca"},
        "migration": {"database-ca"},
    }


def mounted(container):
    return {each["name"]: each["mountPath"] for each in container["volumeMounts"]}


def test_what_is_for_the_worker_alone_is_its_alone():
    told = {name: environ(one).get("HTTPS_PROXY") for name, one in Rendered(example("everything")).containers().items()}
    assert told == {"api": None, "exporter": None, "migration": None, "worker": "http://proxy:3128"}


def test_operators_own_containers_service_and_scaling_are_taken_over():
    chart = Rendered(example("everything"))
    for component in ("api", "worker"):
        assert "proxy" in {each["name"] for each in chart.pods()[component]["spec"]["containers"]}
    service = chart.one("Service")["spec"]
    assert service["loadBalancerSourceRanges"] == ["10.0.0.0/8", "2001:db8::/32"]
    assert service["loadBalancerClass"] == "example.com/inner"
    assert chart.one("HorizontalPodAutoscaler")["spec"]["behavior"] == {
        "scaleDown": {"stabilizationWindowSeconds": 600}
    }
    assert {each["spec"]["revisionHistoryLimit"] for each in chart.of("Deployment")} == {3}
    assert {each["metadata"]["labels"]["app.kubernetes.io/name"] for each in chart.objects} == {"vaults"}


def test_the_exporter_is_not_shown_the_vaults_login_if_it_has_its_own():
    assert "EXPORTER_DATABASE_URL_FILE" in environ(Rendered(example("production")).containers()["exporter"])
    pod = Rendered(example("production")).pods()["api"]
    (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == "exporter-secrets"]
    paths = {item["path"] for source in volume["projected"]["sources"] for item in source["secret"]["items"]}
    assert paths == {"EXPORTER_DATABASE_URL", "REDIS_URL"}


def allowed(policy, direction):
    return {port["port"] for rule in policy["spec"].get(direction, []) for port in rule["ports"]}


def test_policies_let_in_the_api_and_those_who_monitor():
    chart = Rendered(example("production"))
    api, worker, migration = (chart.one("NetworkPolicy", name) for name in ("acme-scaivault", "-worker", "-migration"))
    by_port = {}
    for rule in api["spec"]["ingress"]:
        for port in rule["ports"]:
            by_port.setdefault(port["port"], []).extend(rule["from"])
    monitoring = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert by_port[9464] == by_port[9465] == monitoring
    tested = chart.pods()["test"]["metadata"]["labels"]
    *callers, tester = by_port[8443]
    assert callers == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}]
    assert tester.keys() == {"podSelector"}
    assert tester["podSelector"]["matchLabels"].items() <= tested.items()
    assert worker["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 9466}], "from": monitoring}]
    assert "ingress" not in migration["spec"]
    for policy in (api, worker, migration):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert allowed(api, "egress") == allowed(worker, "egress") == {53, 5432, 6379, 443}
    assert allowed(migration, "egress") == {53, 5432}


def test_the_notes_say_what_to_do_next(rendered):
    assert "scaivault server bootstrap" in rendered.notes
    assert "rollout status" in rendered.notes
    assert "<no value>" not in rendered.notes + rendered.text


def test_the_notes_of_an_upgrade_offer_no_first_tenant():
    notes = Rendered(example("minimal"), is_upgrade=True).notes
    assert "ScaiVault 0.1.0 is upgraded" in notes
    assert "bootstrap" not in notes


def test_connections_in_the_notes_are_those_that_the_pods_may_make():
    """API: the pool and two of each process, seven of the exporter; the worker: the pool and two; a pod more of each."""
    assert f"must have {3 * (2 * 12 + 7) + 3 * 12} connections" in Rendered(example("minimal")).notes


def test_a_release_can_be_tested_when_it_is_installed(rendered):
    (pod,) = rendered.of("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (service,) = rendered.of("Service")
    scheme = service["spec"]["ports"][0]["appProtocol"]
    address = f"{service['metadata']['name']}.{NAMESPACE}:{service['spec']['ports'][0]['port']}"
    assert pod["spec"]["containers"][0]["command"][-1] == f"{scheme}://{address}/v1/health/ready"
    assert f"helm --namespace {NAMESPACE} test {RELEASE}" in rendered.notes


def test_a_gateway_leads_to_the_service():
    chart = Rendered(example("everything"))
    (route,), (service,) = chart.of("HTTPRoute"), chart.of("Service")
    assert route["spec"]["hostnames"] == ["vault.example.com"]
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways", "sectionName": "https"}]
    [backend] = route["spec"]["rules"][0]["backendRefs"]
    assert backend == {"name": service["metadata"]["name"], "port": service["spec"]["ports"][0]["port"]}


def test_the_exporter_knows_how_many_workers_there_are_to_be(rendered):
    replicas = rendered.one("Deployment", "-worker")["spec"]["replicas"]
    assert environ(rendered.containers()["exporter"])["WORKERS_EXPECTED"] == str(replicas)


def test_labels_and_jobs_are_what_the_alerts_know():
    chart = Rendered(example("production"))
    jobs = [
        endpoint["relabelings"][0]["replacement"]
        for monitor in chart.of("PodMonitor")
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
    ]
    assert sorted(jobs) == ["scaivault", "scaivault-exporter", "scaivault-worker"]
    for kind in ("PodMonitor", "PrometheusRule"):
        assert all(each["metadata"]["labels"]["release"] == "kube-prometheus-stack" for each in chart.of(kind))


def test_series_say_which_release_they_are_of(rendered):
    """Two releases in a namespace are two installations: one that is down must not be hidden by the other's health."""
    source = "__meta_kubernetes_pod_label_app_kubernetes_io_instance"
    for monitor in rendered.of("PodMonitor"):
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert {"sourceLabels": [source], "targetLabel": "release"} in endpoint["relabelings"]
    assert {pod["metadata"]["labels"]["app.kubernetes.io/instance"] for pod in rendered.pods().values()} == {RELEASE}


def test_no_key_is_written_twice(rendered):
    """YAML takes the last one in silence, and Kubernetes none at all."""
    for document in yaml.compose_all(rendered.text):
        assert_unique(document)


def assert_unique(node):
    if isinstance(node, yaml.MappingNode):
        names = [name.value for name, _ in node.value]
        assert len(names) == len(set(names)), node.start_mark
        for _, value in node.value:
            assert_unique(value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            assert_unique(each)
