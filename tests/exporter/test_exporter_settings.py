"""The exporter is asked for what it uses, and told all faults at once."""

import pytest

from exporter.settings import ExporterSettings
from scaivault.settings import SettingsInvalid

LEAST = {
    "REDIS_URL": "redis://cache.internal/0",
    "KMS_PROVIDER": "local",
    "KMS_LOCAL_KEY_FILE": "/run/secrets/root.key",
}


def faults(environ):
    with pytest.raises(SettingsInvalid) as caught:
        ExporterSettings.from_env(environ)
    return [fault.name for fault in caught.value.faults]


def test_a_login_of_its_own_is_enough():
    own = "postgresql://reader:hunter2@db.internal/scaivault"
    settings = ExporterSettings.from_env(LEAST | {"EXPORTER_DATABASE_URL": own})
    assert settings.database_url == own
    assert (str(settings.address), settings.interval_seconds) == ("127.0.0.1:9465", 15)
    assert settings.workers_expected == 0
    assert "hunter2" not in repr(settings)


def test_without_one_it_uses_the_vault_s():
    url = "postgresql://vault@db.internal/scaivault"
    assert ExporterSettings.from_env(LEAST | {"DATABASE_URL": url}).database_url == url


def test_the_vault_s_is_not_even_read_where_there_is_an_own_one(tmp_path):
    file = tmp_path / "url"
    file.write_text("postgresql://reader@db.internal/scaivault\n")
    environ = LEAST | {"EXPORTER_DATABASE_URL_FILE": str(file), "DATABASE_URL_FILE": "/nowhere", "DATABASE_URL": "x"}
    assert ExporterSettings.from_env(environ).database_url == "postgresql://reader@db.internal/scaivault"


def test_all_faults_at_once():
    environ = {"EXPORTER_INTERVAL_SECONDS": "1", "EXPORTER_BIND_ADDRESS": "here", "KMS_PROVIDER": "local"}
    assert faults(environ) == [
        "DATABASE_URL",
        "EXPORTER_BIND_ADDRESS",
        "EXPORTER_INTERVAL_SECONDS",
        "KMS_LOCAL_KEY_FILE",
        "REDIS_URL",
    ]
    assert faults(LEAST | {"EXPORTER_DATABASE_URL": "mysql://x"}) == ["EXPORTER_DATABASE_URL"]
