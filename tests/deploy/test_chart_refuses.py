"""Values that make no sense are refused, each by its name, before anything is installed."""

import re
from ipaddress import ip_network

import helm_python as helm
import pytest
from hypothesis import given
from hypothesis.strategies import ip_addresses, one_of

from tests.deploy.charts import CHART, Rendered, example, merged
from tools import chart as generated

ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ELSEWHERE = ARN.replace("eu-central-1", "us-east-1")

EXTRA_VOLUME = {"name": "extra", "emptyDir": {}}

# What is changed in the smallest example, and how the refusal names it.
NONSENSE = [
    # unknown
    ({"replicas": 3}, "replicas"),
    ({"api": {"replica": 3}}, "replica"),
    ({"config": {"RATE_LIMIT_REED": 1}}, "RATE_LIMIT_REED"),
    ({"config": {"DATABASE_URL": "postgresql://u:p@h/d"}}, "DATABASE_URL"),
    ({"secrets": {"DATABASE_URL": {"value": "postgresql://u:p@h/d"}}}, "value"),
    ({"previousKms": {"aws": {"signingKeyId": ARN}}}, "signingKeyId"),
    # what the cluster would refuse, when half of it is installed
    ({"image": {"repository": "registry.example.com/scaivault:1"}}, "repository"),
    ({"commonLabels": {"a b": "c"}}, "'a b'"),
    ({"commonLabels": {"team": "c d"}}, "team"),
    ({"topologySpread": {"keys": ["bad key"]}}, "keys"),
    ({"topologySpread": {"keys": ["zone", "zone"]}}, "keys"),
    ({"api": {"autoscaling": {"behavior": {"fast": True}}}}, "fast"),
    ({"networkPolicy": {"egress": {"database": {"to": [{}]}}}}, "database"),
    ({"networkPolicy": {"egress": {"database": {"to": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}}}}, "cidr"),
    ({"networkPolicy": {"egress": {"database": {"to": [{"ipBlock": {"cidr": "10.0.0.1"}}]}}}}, "cidr"),
    ({"networkPolicy": {"ingress": {"api": [{"ipBlock": {"except": ["10.0.0.0/8"]}}]}}}, "cidr"),
    *(
        (
            {"extraVolumes": [EXTRA_VOLUME], "extraVolumeMounts": [{"name": "extra", "mountPath": f"/{path}"}]},
            "mountPath",
        )
        for path in ("", "tmp", "tmp/", "etc", "etc/scaivault", "run/scaivault/keys", "/run//scaivault/metrics")
    ),
    # of the wrong kind, or out of range
    ({"config": {"LOG_LEVEL": "loud"}}, "LOG_LEVEL"),
    ({"config": {"WEB_CONCURRENCY": 0}}, "WEB_CONCURRENCY"),
    ({"config": {"WEB_CONCURRENCY": "two"}}, "WEB_CONCURRENCY"),
    ({"config": {"TRACES_SAMPLE_RATIO": 2}}, "TRACES_SAMPLE_RATIO"),
    ({"config": {"RATE_LIMIT_READ": 0}}, "RATE_LIMIT_READ"),
    ({"config": {"BASE_URL": "vault.example.com"}}, "config.BASE_URL must begin with"),
    ({"config": {"SCAIKEY_URL": "https://user:hunter2@scaikey"}}, "config.SCAIKEY_URL must begin with"),
    ({"previousKms": {"aws": {"endpointUrl": "https://user:hunter2@kms"}}}, "previousKms.aws.endpointUrl belongs to"),
    ({"api": {"replicas": 0}}, "replicas"),
    ({"api": {"port": 443}}, "/api/port"),
    ({"api": {"podLabels": {"app.kubernetes.io/name": "mine"}}}, "app.kubernetes.io/name"),
    ({"podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
    ({"image": {"digest": "sha256:1"}}, "digest"),
    ({"kms": {"provider": "gcp"}}, "provider"),
    ({"kms": {"aws": {"keyId": "alias/vault"}}}, "keyId"),
    ({"listenHost": "127.0.0.1"}, "listenHost"),
    ({"extraEnv": [{"name": "LOG_LEVEL", "value": "debug"}]}, "extraEnv"),
    ({"extraEnv": [{"name": "REDIS_URL_FILE", "value": "/x"}]}, "extraEnv"),
    ({"service": {"type": "Headless"}}, "/service/type"),
    ({"monitoring": {"podMonitors": {"interval": "often"}}}, "interval"),
    ({"networkPolicy": {"ingress": {"monitoring": [{"namespace": "monitoring"}]}}}, "monitoring"),
    ({"config": {"EGRESS_ALLOW": "not-a-net"}}, "EGRESS_ALLOW"),
    ({"config": {"TRUSTED_PROXIES": "zzz"}}, "TRUSTED_PROXIES"),
    ({"config": {"TRUSTED_PROXIES": "10.0.0.0/33"}}, "TRUSTED_PROXIES"),
    ({"config": {"TRUSTED_PROXIES": "10.0.0.0/8 10.1.0.0/16"}}, "TRUSTED_PROXIES"),
    ({"config": {"IDENTITY_SYNC_INTERVAL": "7 parsecs"}}, "IDENTITY_SYNC_INTERVAL"),
    ({"config": {"BASE_URL": "http://"}}, "config.BASE_URL must begin with"),
    ({"config": {"BASE_URL": "https:///v"}}, "config.BASE_URL must begin with"),
    ({"config": {"BASE_URL": "https://vault:99999"}}, "config.BASE_URL must begin with"),
    ({"config": {"BASE_URL": "https://vault example.com"}}, "config.BASE_URL must begin with"),
    ({"monitoring": {"podMonitors": {"scrapeTimeout": "5 s"}}}, "scrapeTimeout"),
    ({"api": {"resources": {"limits": {"memory": "1 GB"}}}}, "memory"),
    ({"worker": {"podDisruptionBudget": {"maxUnavailable": "00%"}}}, "maxUnavailable"),
    ({"worker": {"podDisruptionBudget": {"minAvailable": "101%"}}}, "minAvailable"),
    # Helm waits for it, and must find it ended.
    ({"migration": {"ttlSecondsAfterFinished": 0}}, "ttlSecondsAfterFinished"),
    ({"extraVolumes": [{"emptyDir": {}}]}, "extraVolumes"),
    ({"extraVolumeMounts": [{"name": "x"}]}, "mountPath"),
    ({"service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["all"]}}, "loadBalancerSourceRanges"),
    ({"worker": {"extraEnv": [{"name": "WEB_THREADS", "value": "1"}]}}, "/worker/extraEnv"),
    ({"nameOverride": "Vault"}, "nameOverride"),
    # taken away, where the chart counts on it
    ({"config": {"SHUTDOWN_SECONDS": None}}, "SHUTDOWN_SECONDS"),
    ({"api": {"replicas": None}}, "replicas"),
    ({"networkPolicy": {"egress": {"dns": None}}}, "dns"),
    # what is required
    ({"image": {"repository": ""}}, "image.repository is required"),
    ({"config": {"BASE_URL": ""}}, "config.BASE_URL is required"),
    ({"secrets": {"DATABASE_URL": {"existingSecret": ""}}}, "secrets.DATABASE_URL.existingSecret is required"),
    ({"secrets": {"REDIS_URL": {"existingSecret": ""}}}, "secrets.REDIS_URL.existingSecret is required"),
    ({"kms": {"provider": ""}}, "kms.provider is required"),
    ({"kms": {"local": {"existingSecret": ""}}}, "kms.local.existingSecret is required by kms.provider=local"),
    ({"kms": {"provider": "aws", "local": {"existingSecret": ""}}}, "kms.aws.keyId is required"),
    ({"kms": {"provider": "pkcs11", "local": {"existingSecret": ""}}}, "kms.pkcs11.pin.existingSecret is required"),
    ({"previousKms": {"provider": "local"}}, "previousKms.local.existingSecret is required"),
    # what does not go together
    ({"kms": {"provider": "aws", "aws": {"keyId": ARN}}}, "kms.local.existingSecret belongs to kms.provider=local"),
    ({"kms": {"aws": {"signingKeyId": ARN}}}, "kms.aws.signingKeyId belongs to kms.provider=aws"),
    ({"previousKms": {"pkcs11": {"keyLabel": "x"}}}, "previousKms.pkcs11.keyLabel belongs to"),
    (
        {"kms": {"provider": "aws", "local": {"existingSecret": ""}, "aws": {"keyId": ARN, "signingKeyId": ELSEWHERE}}},
        "kms.aws.signingKeyId must be in the region",
    ),
    ({"config": {"DRAIN_SECONDS": 0}}, "config.DRAIN_SECONDS must be at least 4"),
    ({"config": {"SCAIKEY_JWKS_URL": "https://keys.example.com"}}, "config.SCAIKEY_URL is required"),
    ({"config": {"IDENTITY_SYNC_INTERVAL": "6h"}}, "secrets.SCAIKEY_CLIENT_SECRET.existingSecret is required"),
    ({"secrets": {"SCAIKEY_CLIENT_SECRET": {"existingSecret": "x"}}}, "config.SCAIKEY_CLIENT_ID is required"),
    ({"otlpCa": {"existingConfigMap": "x"}}, "config.OTEL_EXPORTER_OTLP_ENDPOINT is required"),
    (
        {
            "config": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
            "secrets": {"OTEL_EXPORTER_OTLP_HEADERS": {"existingSecret": "x"}},
        },
        "config.OTEL_EXPORTER_OTLP_ENDPOINT must begin with https://",
    ),
    ({"exporter": {"port": 9464}}, "api.port, api.opsPort and exporter.port must differ"),
    ({"api": {"autoscaling": {"enabled": True, "minReplicas": 9}}}, "api.autoscaling.minReplicas is above"),
    (
        {"api": {"autoscaling": {"enabled": True}, "resources": {"requests": None}}},
        "api.resources.requests.cpu is required",
    ),
    ({"api": {"podDisruptionBudget": {"minAvailable": 2}}}, "api.podDisruptionBudget.minAvailable must be below"),
    (
        {"worker": {"podDisruptionBudget": {"maxUnavailable": 0}}},
        "worker.podDisruptionBudget.maxUnavailable must not be 0",
    ),
    ({"worker": {"podDisruptionBudget": {"maxUnavailable": "0%"}}}, "worker.podDisruptionBudget.maxUnavailable"),
    ({"api": {"podDisruptionBudget": {"minAvailable": "100%"}}}, "api.podDisruptionBudget.minAvailable must be below"),
    ({"api": {"podDisruptionBudget": {"minAvailable": "51%"}}}, "api.podDisruptionBudget.minAvailable must be below"),
    (
        {"worker": {"replicas": 1, "podDisruptionBudget": {"minAvailable": "50%"}}},
        "worker.podDisruptionBudget.minAvailable must be below",
    ),
    (
        {"api": {"autoscaling": {"enabled": True, "minReplicas": 1}, "podDisruptionBudget": {"minAvailable": 1}}},
        "api.podDisruptionBudget.minAvailable must be below",
    ),
    ({"monitoring": {"podMonitors": {"interval": "5s"}}}, "monitoring.podMonitors.scrapeTimeout is above"),
    ({"monitoring": {"podMonitors": {"interval": "900ms", "scrapeTimeout": "1s"}}}, "scrapeTimeout is above"),
    ({"monitoring": {"podMonitors": {"scrapeTimeout": "0s"}}}, "must not be 0"),
    ({"api": {"resources": {"requests": {"memory": "1025Mi"}}}}, "api.resources.requests.memory is above"),
    (
        {"worker": {"resources": {"requests": {"cpu": 1}, "limits": {"cpu": "999m"}}}},
        "worker.resources.requests.cpu is above",
    ),
    ({"exporter": {"resources": {"limits": {"memory": "100M"}}}}, "exporter.resources.requests.memory is above"),
    ({"migration": {"resources": {"limits": {"memory": 1000}}}}, "migration.resources.requests.memory is above"),
    (
        {
            "config": {"WEB_CONCURRENCY": 32},
            "api": {"resources": {"requests": {"memory": "256Mi"}, "limits": {"memory": "300Mi"}}},
        },
        "api.resources.limits.memory is less than config.WEB_CONCURRENCY processes need",
    ),
    ({"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}, "extraVolumes: tmp is the name"),
    ({"extraVolumes": [{"name": "keys", "emptyDir": {}}]}, "extraVolumes: keys is the name"),
    ({"extraVolumes": [{"name": "tls", "emptyDir": {}}]}, "extraVolumes: tls is the name"),
    ({"extraVolumes": [{"name": "mine"}, {"name": "mine"}]}, "extraVolumes: mine is the name"),
    ({"extraVolumeMounts": [{"name": "mine", "mountPath": "/x"}]}, "extraVolumeMounts: mine is not among"),
    (
        {
            "kms": {
                "provider": "aws",
                "local": {"existingSecret": ""},
                "aws": {"keyId": ARN, "endpointUrl": "http://kms.example.com"},
            }
        },
        "kms.aws.endpointUrl must begin with https:// in production",
    ),
    ({"config": {"SCAIKEY_URL": "http://scaikey.example.com"}}, "config.SCAIKEY_URL must begin with https://"),
    ({"config": {"SCAIKEY_URL": "http://127.0.0.1.example.com"}}, "config.SCAIKEY_URL must begin with https://"),
    ({"config": {"IDENTITY_SYNC_INTERVAL": "59s"}}, "config.IDENTITY_SYNC_INTERVAL must be at least 1m"),
    ({"config": {"IDENTITY_SYNC_INTERVAL": "36501d"}}, "config.IDENTITY_SYNC_INTERVAL must be at least 1m"),
    (
        {"config": {"BASE_URL": "https://example.com/vault"}, "ingress": {"enabled": True}},
        "config.BASE_URL must have no path",
    ),
    (
        {"config": {"BASE_URL": "https://10.0.0.1:8443"}, "ingress": {"enabled": True}},
        "config.BASE_URL must name a host, not an address",
    ),
    ({"service": {"loadBalancerClass": "x"}}, "service.loadBalancerClass is for service.type=LoadBalancer"),
    ({"extraContainers": [{"name": "exporter"}]}, "exporter is the name of another container"),
    ({"extraInitContainers": [{"name": "keys"}]}, "keys is the name of another container"),
    (
        {"extraEnv": [{"name": "A", "value": "1"}], "worker": {"extraEnv": [{"name": "A", "value": "2"}]}},
        "worker.extraEnv: A is given twice",
    ),
    ({"serviceAccount": {"create": False, "annotations": {"a": "b"}}}, "serviceAccount.annotations"),
    ({"ingress": {"tlsSecret": "x"}}, "ingress.enabled is not"),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs must name a Gateway"),
    ({"httpRoute": {"parentRefs": [{"namespace": "gateways"}]}}, "httpRoute"),
]


@pytest.mark.parametrize(("changes", "told"), NONSENSE)
def test_nonsense_is_refused_by_its_name(changes, told):
    with pytest.raises(helm.HelmError) as refused:
        Rendered(merged(example("minimal"), changes))
    assert told in str(refused.value)
    assert "u:p@h" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


SENSE = [
    {"config": {"TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::/32,192.168.7.1,::ffff:10.0.0.1"}},
    {"config": {"EGRESS_ALLOW": ""}},
    {"config": {"BASE_URL": "https://[2001:db8::1]:8443/vault/"}},
    {"config": {"BASE_URL": "https://vault.example.com/"}, "ingress": {"enabled": True}},
    {"config": {"SCAIKEY_URL": "http://localhost:8080"}},
    {"config": {"SCAIKEY_URL": "http://scaikey", "SCAIVAULT_ENV": "development"}},
    {"api": {"podDisruptionBudget": {"minAvailable": "50%"}}},
    {"worker": {"replicas": 1}},
    {"worker": {"replicas": 1, "podDisruptionBudget": {"enabled": False, "minAvailable": 1}}},
    {"worker": {"podDisruptionBudget": {"maxUnavailable": "1%"}}},
    {"monitoring": {"podMonitors": {"interval": "1m30s", "scrapeTimeout": "1m30s"}}},
    {"api": {"resources": {"requests": {"cpu": 2, "memory": "1Gi"}, "limits": {"cpu": "2000m"}}}},
    {"api": {"resources": {"limits": None}}, "config": {"WEB_CONCURRENCY": 64}},
    {"config": {"WEB_CONCURRENCY": 8}},
]


@pytest.mark.parametrize("changes", SENSE)
def test_what_is_at_the_edge_is_taken(changes):
    assert Rendered(merged(example("minimal"), changes)).of("Deployment")


@given(one_of(ip_addresses(), ip_addresses().map(ip_network)))
def test_every_network_that_the_server_takes_may_be_given(network):
    assert re.fullmatch(generated.NETWORK, str(network))


def test_all_that_is_missing_is_told_at_once():
    with pytest.raises(helm.HelmError) as refused:
        Rendered({})
    missing = ("image.repository", "config.BASE_URL", "secrets.DATABASE_URL", "secrets.REDIS_URL", "kms.provider")
    assert all(name in str(refused.value) for name in missing)


def test_the_schema_leaves_nothing_open():
    """Every object in it names its properties, or says what they have to be like."""
    with helm.Chart.load(CHART) as chart:
        schema = chart.schema
    open_objects = [
        path for path, part in parts(schema) if part.get("type") == "object" and "additionalProperties" not in part
    ]
    kubernetes_own = {
        "valueFrom",
        "items",
        "affinity",
        "podSelector",
        "scaleDown",
        "scaleUp",
        "namespaceSelector",
        "global",
    }
    assert {path.rpartition("/")[2] for path in open_objects} == kubernetes_own


def parts(schema, path=""):
    yield path, schema
    for name, part in schema.items():
        if isinstance(part, dict):
            yield from parts(part, path if name == "properties" else f"{path}/{name}")
