"""Settings: all faults at once, by name and never by value; every variable documented."""

import re
from pathlib import Path

import pytest

from scaivault.settings import KMS_NEEDS, RATE_LIMITS, SECRETS, Address, Settings, SettingsInvalid, variables

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations" / "configuration.md"
MAKE_RUN_ONLY = {"DEV_DIR", "PORT", "OPS_PORT", "EXPORTER_PORT", "WORKER_PORT"}
DIRECTORY = {
    "SCAIKEY_URL": "https://scaikey.example.com",
    "SCAIKEY_CLIENT_ID": "app_vault",
    "SCAIKEY_CLIENT_SECRET": "hunter5",
}


@pytest.fixture
def sound(tmp_path):
    key_file = tmp_path / "root.key"
    key_file.write_text("a key")
    return {
        "DATABASE_URL": "postgresql://vault:hunter2@db.internal:5432/scaivault?sslmode=require",
        "REDIS_URL": "rediss://:hunter3@cache.internal/0",
        "BASE_URL": "https://vault.example.com/",
        "KMS_PROVIDER": "local",
        "KMS_LOCAL_KEY_FILE": str(key_file),
        "SCAIKEY_WEBHOOK_SECRET": "whsec-hunter4",
        "EXPORTER_DATABASE_URL": "postgresql://exporter:hunter6@db.internal:5432/scaivault",
    }


def faults(environ):
    with pytest.raises(SettingsInvalid) as caught:
        Settings.from_env(environ)
    return {fault.name: fault.reason for fault in caught.value.faults}


def test_the_least_that_is_needed(sound):
    settings = Settings.from_env(sound)
    assert settings.bind_address == Address("0.0.0.0", 8443)
    assert settings.ops_bind_address == Address("127.0.0.1", 9464)
    assert settings.base_url == "https://vault.example.com"
    assert settings.database_url.get_secret_value() == sound["DATABASE_URL"]
    assert (settings.web_concurrency, settings.web_threads, settings.database_pool_size) == (2, 8, 10)
    assert settings.rate_limits == RATE_LIMITS
    assert settings.metrics_auth == "token"
    assert not settings.development


def test_what_is_given_counts(sound):
    settings = Settings.from_env(
        sound
        | {"RATE_LIMIT_READ": "7", "WEB_THREADS": "10", "TRUSTED_PROXIES": "10.0.0.0/8, ::1"}
        | {"BIND_ADDRESS": "[::1]:443", "SCAIVAULT_ENV": "development", "LOG_LEVEL": ""}
    )
    assert settings.rate_limits["READ"] == 7
    assert settings.rate_limits["WRITE"] == RATE_LIMITS["WRITE"]
    assert settings.database_pool_size == 12
    assert [str(each) for each in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert str(settings.bind_address) == "[::1]:443"
    assert settings.development
    assert settings.log_level == "info"


def test_frozen(sound):
    settings = Settings.from_env(sound)
    with pytest.raises(ValueError, match="frozen"):
        settings.base_url = "https://elsewhere.example.com"


def test_unknown_variables_are_none_of_our_business(sound):
    assert Settings.from_env(sound | {"PATH": "/bin", "SCAIVAULT_TOKEN": "skt_x", "RATE": "1"})


def test_nothing_set():
    assert faults({}) == dict.fromkeys(["BASE_URL", "DATABASE_URL", "KMS_PROVIDER", "REDIS_URL"], "is required")


@pytest.mark.parametrize(
    ("name", "wrong", "hint"),
    [
        ("DATABASE_URL", "mysql://vault:secret-word@db/x", "postgresql://"),
        ("DATABASE_URL", "postgresql://vault:secret-word@[db/x", "postgresql://"),
        ("DATABASE_URL", "postgresql://vault:x@db:secret-word/x", "postgresql://"),
        ("DATABASE_URL", "postgresql:///secret-word", "host"),
        ("REDIS_URL", "http://:secret-word@cache", "rediss://"),
        ("BASE_URL", "vault-secret-word.example.com", "https://"),
        ("BASE_URL", "https://me:secret-word@vault.example.com", "without user and password"),
        ("BASE_URL", "http://", "names a host"),
        ("BASE_URL", "https://:8443/secret-word", "names a host"),
        ("BASE_URL", "https:///secret-word", "names a host"),
        ("BASE_URL", "https://.", "names a host"),
        ("BASE_URL", "https:// ", "names a host"),
        ("BASE_URL", "https://secret word", "names a host"),
        ("BASE_URL", "https://%73ecret-word", "names a host"),
        ("BASE_URL", "https://*.example.com", "names a host"),
        ("SCAIKEY_URL", "https://scaikey.example.com/secret word", "names a host"),
        ("BIND_ADDRESS", "secret-word", "0.0.0.0:8443"),
        ("BIND_ADDRESS", "127.0.0.1:70000", "0.0.0.0:8443"),
        ("BIND_ADDRESS", "::1:8443", "brackets"),
        ("OPS_BIND_ADDRESS", ":9464", "0.0.0.0:8443"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,secret-word", "10.0.0.0/8"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "networks"),
        ("LOG_LEVEL", "secret-word", "'warn'"),
        ("LOG_FORMAT", "secret-word", "'text'"),
        ("SCAIVAULT_ENV", "secret-word", "'development'"),
        ("METRICS_AUTH", "secret-word", "'token'"),
        ("KMS_PROVIDER", "secret-word", "'local'"),
        ("KMS_PROVIDER", "hashicorp", "not built yet"),
        ("WEB_CONCURRENCY", "0", "greater than or equal to 1"),
        ("WEB_THREADS", "secret-word", "whole number"),
        ("DATABASE_POOL_SIZE", "-1", "greater than 0"),
        ("KEY_CACHE_SECONDS", "-1", "greater than or equal to 0"),
        ("SHUTDOWN_SECONDS", "1.5s", "whole number"),
        ("DRAIN_SECONDS", "-1", "greater than or equal to 0"),
        ("RATE_LIMIT_READ", "0", "greater than 0"),
        ("RATE_LIMIT_LEASE", "secret-word", "whole number"),
        ("RATE_LIMIT_READS", "5", "did you mean RATE_LIMIT_READ?"),
        ("KMS_KEY_NAME", "projects/secret-word", "not a setting of this release"),
        ("KMS_PKCS11_TOKEN_LABEL", "secret-word", "belongs to KMS_PROVIDER=pkcs11"),
        ("SCAIKEY_URL", "secret-word", "https://"),
        ("SCAIKEY_URL", "http://secret-word.example.com", "https://"),
        ("SCAIKEY_AUDIENCE", "secret word", "pattern"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "secret-word", "https://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:secret-word@collector", "without user and password"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret-word", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,secret word=c", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0-word", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret\nword", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0D%0AX-Word:1", "name=value"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/secret-word", "file that exists"),
        ("OTEL_SERVICE_NAME", "secret word", "pattern"),
        ("TRACES_SAMPLE_RATIO", "secret-word", "number"),
        ("TRACES_SAMPLE_RATIO", "1.1", "less than or equal to 1"),
        ("TRACES_SAMPLE_RATIO", "-0.1", "greater than or equal to 0"),
        ("TRACES_SAMPLE_RATIO", "nan", "less than or equal to 1"),
    ],
)
def test_a_wrong_value_is_named_and_not_quoted(sound, name, wrong, hint):
    found = faults(sound | {name: wrong})
    assert list(found) == [name]
    assert hint in found[name]
    assert "secret-word" not in str(found)


def test_the_identity_provider_is_asked_over_tls_and_named(sound):
    elsewhere = {"SCAIKEY_JWKS_URL": "http://keys.example.com/jwks"}
    assert list(faults(sound | elsewhere)) == ["SCAIKEY_JWKS_URL", "SCAIKEY_URL"]
    local = {"SCAIKEY_URL": "http://127.0.0.1:9000", "SCAIKEY_JWKS_URL": "http://localhost:9000/jwks"}
    assert Settings.from_env(sound | local).scaikey_url == "http://127.0.0.1:9000"
    plain = {"SCAIKEY_URL": "http://scaikey.internal", "SCAIVAULT_ENV": "development"}
    assert Settings.from_env(sound | plain).scaikey_audience == "scaivault"


def test_all_faults_at_once(sound):
    wrong = {"BASE_URL": "", "LOG_LEVEL": "x", "RATE_LIMIT_READ": "x", "KMS_KEYS": "x", "TLS_CERT_FILE": "/nowhere"}
    assert list(faults(sound | wrong)) == sorted([*wrong, "TLS_KEY_FILE"])


def test_tls_needs_both_files(sound, tmp_path):
    file = tmp_path / "tls.pem"
    file.write_text("pem")
    both = {"TLS_CERT_FILE": str(file), "TLS_KEY_FILE": str(file)}
    assert Settings.from_env(sound | both).tls_cert_file == file
    for name, other in (("TLS_CERT_FILE", "TLS_KEY_FILE"), ("TLS_KEY_FILE", "TLS_CERT_FILE")):
        assert list(faults(sound | {name: str(file)})) == [other]


def test_the_local_provider_needs_its_file(sound):
    del sound["KMS_LOCAL_KEY_FILE"]
    assert "generate-key" in faults(sound)["KMS_LOCAL_KEY_FILE"]


ROOT_ARN = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def anywhere(sound):
    """A sound environment without a key service."""
    return {name: text for name, text in sound.items() if not name.startswith("KMS_")}


@pytest.fixture
def token(tmp_path):
    pin = tmp_path / "pin"
    pin.write_text("hunter4")
    return {
        "KMS_PROVIDER": "pkcs11",
        "KMS_PKCS11_LIBRARY": str(pin),
        "KMS_PKCS11_TOKEN_LABEL": "vault",
        "KMS_PKCS11_PIN_FILE": str(pin),
        "KMS_PKCS11_KEY_LABEL": "root",
    }


@pytest.mark.parametrize("provider", KMS_NEEDS)
def test_each_provider_says_at_once_all_that_it_needs(anywhere, provider):
    found = faults(anywhere | {"KMS_PROVIDER": provider})
    assert set(found) == {f"KMS_{name}" for name in KMS_NEEDS[provider]}
    assert all(f"required by KMS_PROVIDER={provider}" in reason for reason in found.values())


def test_each_provider_is_content_with_its_own(anywhere, token):
    aws = {"KMS_PROVIDER": "aws", "KMS_KEY_ID": ROOT_ARN}
    more = {
        "KMS_SIGNING_KEY_ID": ROOT_ARN[:-1] + "0",
        "KMS_ENDPOINT_URL": "https://vpce-1.kms.eu-central-1.vpce.amazonaws.com",
    }
    assert Settings.from_env(anywhere | aws).kms_key_id == ROOT_ARN
    assert Settings.from_env(anywhere | aws | more).kms_endpoint_url == more["KMS_ENDPOINT_URL"]
    assert Settings.from_env(anywhere | token).kms_pkcs11_key_label == "root"
    assert set(faults(anywhere | token | aws)) == set(token) - {"KMS_PROVIDER"}


@pytest.mark.parametrize(
    ("name", "wrong", "hint"),
    [
        ("KMS_KEY_ID", "arn:aws:kms:eu-central-1:123456789012:alias/secret-word", "not an alias"),
        ("KMS_KEY_ID", "secret-word", "ARN"),
        ("KMS_SIGNING_KEY_ID", "arn:aws:kms:us-east-1:123456789012:key/secret-word", "region"),
        ("KMS_ENDPOINT_URL", "http://secret-word", "https://"),
        ("KMS_ENDPOINT_URL", "secret-word", "https://"),
    ],
)
def test_wrong_values_for_aws(anywhere, name, wrong, hint):
    found = faults(anywhere | {"KMS_PROVIDER": "aws", "KMS_KEY_ID": ROOT_ARN} | {name: wrong})
    assert list(found) == [name]
    assert hint in found[name]
    assert "secret-word" not in str(found)


def test_keys_travel_in_clear_in_development_only(anywhere):
    aws = {"KMS_PROVIDER": "aws", "KMS_KEY_ID": ROOT_ARN, "KMS_ENDPOINT_URL": "http://127.0.0.1:5000"}
    assert Settings.from_env(anywhere | aws | {"SCAIVAULT_ENV": "development"})
    assert list(faults(anywhere | aws)) == ["KMS_ENDPOINT_URL"]


def test_the_files_of_a_token_must_be_there(anywhere, token):
    missing = {"KMS_PKCS11_LIBRARY": "/nowhere.so", "KMS_PKCS11_PIN_FILE": "/nowhere"}
    assert set(faults(anywhere | token | missing)) == set(missing)


@pytest.mark.parametrize("left_out", DIRECTORY)
def test_reading_the_directory_takes_all_of_its_settings(sound, left_out):
    some = {name: text for name, text in DIRECTORY.items() if name != left_out}
    assert list(faults(sound | some)) == [left_out]
    assert Settings.from_env(sound | DIRECTORY).identity_sync_interval is None


@pytest.mark.parametrize(("interval", "seconds"), [("1m", 60), ("6h", 21_600)])
def test_it_is_read_at_intervals(sound, interval, seconds):
    settings = Settings.from_env(sound | DIRECTORY | {"IDENTITY_SYNC_INTERVAL": interval})
    assert settings.identity_sync_interval.total_seconds() == seconds
    assert set(faults(sound | {"IDENTITY_SYNC_INTERVAL": interval})) == set(DIRECTORY)


@pytest.mark.parametrize("interval", ["59s", "0", "often", "-1h", "6"])
def test_and_not_too_often(sound, interval):
    assert list(faults(sound | DIRECTORY | {"IDENTITY_SYNC_INTERVAL": interval})) == ["IDENTITY_SYNC_INTERVAL"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file(sound, tmp_path, name):
    sound |= DIRECTORY | {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20hunter7"}
    file = tmp_path / "secret"
    file.write_text(sound[name] + "\n")
    from_file = {key: text for key, text in sound.items() if key != name} | {f"{name}_FILE": str(file)}
    assert Settings.from_env(from_file) == Settings.from_env(sound)
    assert "both set" in faults(from_file | {name: sound[name]})[name]
    assert list(faults(from_file | {f"{name}_FILE": str(tmp_path / "missing")})) == [f"{name}_FILE"]
    file.write_bytes(b"\xff\xfe")
    assert list(faults(from_file)) == [f"{name}_FILE"]
    file.write_text(" \n")
    assert list(faults(from_file)) == [f"{name}_FILE"]


def test_secrets_are_not_shown(sound):
    settings = Settings.from_env(sound | DIRECTORY)
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "hunter" not in shown


def test_what_the_collector_knows_us_by_is_read_and_not_shown(sound):
    headers = "Authorization=Bearer%20hunter9, X-Org=a=b ,Empty="
    settings = Settings.from_env(sound | {"OTEL_EXPORTER_OTLP_HEADERS": headers})
    assert settings.otlp_headers == {"Authorization": "Bearer hunter9", "X-Org": "a=b", "Empty": ""}
    assert "hunter9" not in repr(settings)


@pytest.mark.parametrize(
    ("endpoint", "more", "is_sound"),
    [
        ("http://collector:4318", {}, False),
        ("http://127.0.0.1:4318", {}, True),
        ("https://collector:4318", {}, True),
        ("http://collector:4318", {"SCAIVAULT_ENV": "development"}, True),
        ("http://collector:4318", {"OTEL_EXPORTER_OTLP_HEADERS": ""}, True),
    ],
)
def test_the_collectors_password_does_not_travel_in_the_clear(sound, endpoint, more, is_sound):
    environ = sound | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_HEADERS": "a=b"} | more
    if is_sound:
        assert Settings.from_env(environ).otel_exporter_otlp_endpoint == endpoint
    else:
        assert list(faults(environ)) == ["OTEL_EXPORTER_OTLP_ENDPOINT"]


def test_every_variable_is_documented_and_every_documented_one_exists():
    documented = re.findall(r"^\| `([A-Z0-9_]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == {*variables(), *MAKE_RUN_ONLY}


def test_documented_rate_limits_are_the_defaults():
    documented = re.findall(r"^\| `RATE_LIMIT_([A-Z_]+)` \| (\d+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert {category: int(limit) for category, limit in documented} == dict(RATE_LIMITS)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"PREVIOUS_KMS_PROVIDER": "local"}, "PREVIOUS_KMS_LOCAL_KEY_FILE"),
        ({"PREVIOUS_KMS_LOCAL_KEY_FILE": "/old.key"}, "PREVIOUS_KMS_PROVIDER"),
        ({"PREVIOUS_KMS_PROVIDER": "stone", "PREVIOUS_KMS_LOCAL_KEY_FILE": "/old.key"}, "PREVIOUS_KMS_PROVIDER"),
        ({"PREVIOUS_KMS_FILE": "/old.key"}, "PREVIOUS_KMS_FILE"),
        ({"PREVIOUS_KMS_PROVIDER": "aws"}, "PREVIOUS_KMS_KEY_ID"),
        ({"PREVIOUS_KMS_KEY_ID": ROOT_ARN}, "PREVIOUS_KMS_PROVIDER"),
        ({"PREVIOUS_KMS_PROVIDER": "aws", "PREVIOUS_KMS_KEY_ID": "alias/root"}, "PREVIOUS_KMS_KEY_ID"),
    ],
)
def test_the_previous_root_key_is_named_whole_or_not_at_all(sound, given, fault):
    assert set(faults(sound | given)) == {fault}


def test_the_previous_root_key_may_be_given(sound):
    assert Settings.from_env(sound).previous_kms_provider is None
    given = {"PREVIOUS_KMS_PROVIDER": "local", "PREVIOUS_KMS_LOCAL_KEY_FILE": "/old.key"}
    assert Settings.from_env(sound | given).previous_kms_local_key_file == Path("/old.key")
