"""Values that make no sense are refused, each by its name, before anything is installed."""

import helm_python as helm
import pytest

from tests.deploy.charts import CHART, Rendered, example, merged

ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ELSEWHERE = ARN.replace("eu-central-1", "us-east-1")

# What is changed in the smallest example, and how the refusal names it.
NONSENSE = [
    # unknown
    ({"replicas": 3}, "replicas"),
    ({"api": {"replica": 3}}, "replica"),
    ({"config": {"RATE_LIMIT_REED": 1}}, "RATE_LIMIT_REED"),
    ({"config": {"DATABASE_URL": "postgresql://u:p@h/d"}}, "DATABASE_URL"),
    ({"secrets": {"DATABASE_URL": {"value": "postgresql://u:p@h/d"}}}, "value"),
    ({"previousKms": {"aws": {"signingKeyId": ARN}}}, "signingKeyId"),
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
    ({"serviceAccount": {"create": False, "annotations": {"a": "b"}}}, "serviceAccount.annotations"),
    ({"ingress": {"tlsSecret": "x"}}, "ingress.enabled is not"),
]


@pytest.mark.parametrize(("changes", "told"), NONSENSE)
def test_nonsense_is_refused_by_its_name(changes, told):
    with pytest.raises(helm.HelmError) as refused:
        Rendered(merged(example("minimal"), changes))
    assert told in str(refused.value)
    assert "u:p@h" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


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
    kubernetes_own = {"valueFrom", "items", "affinity", "podSelector", "namespaceSelector", "ipBlock", "global"}
    assert {path.rpartition("/")[2] for path in open_objects} == kubernetes_own


def parts(schema, path=""):
    yield path, schema
    for name, part in schema.items():
        if isinstance(part, dict):
            yield from parts(part, path if name == "properties" else f"{path}/{name}")
