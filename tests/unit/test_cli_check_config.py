"""`scaivault server check-config` shows a configuration to people, and to whoever reads what they paste."""

import pytest
from click.testing import CliRunner

from scaivault.cli import main
from scaivault.settings import SECRETS

PLANTED = "hunter2-planted"
# What a secret setting looks like; whatever is not here is planted as it is.
SHAPES = {
    "DATABASE_URL": f"postgresql://vault:{PLANTED}@db.internal:5432/scaivault",
    "EXPORTER_DATABASE_URL": f"postgresql://exporter:{PLANTED}@db.internal:5432/scaivault",
    "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization={PLANTED}",
    "REDIS_URL": f"rediss://:{PLANTED}@cache.internal/0",
}


@pytest.fixture
def environ(tmp_path):
    (tmp_path / "root.key").write_text("a key")
    return {
        "BASE_URL": "https://vault.example.com",
        "KMS_PROVIDER": "local",
        "KMS_LOCAL_KEY_FILE": str(tmp_path / "root.key"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example.com",
        "SCAIKEY_URL": "https://scaikey.example.com",
        "SCAIKEY_CLIENT_ID": "app_vault",
        **{name: SHAPES.get(name, PLANTED) for name in SECRETS},
    }


def test_it_shows_no_secret(environ):
    said = CliRunner().invoke(main, ["server", "check-config"], env=environ)
    assert (said.exit_code, PLANTED in said.output) == (0, False), said.output
    assert all(name in said.output for name in SECRETS)
    assert "rediss://***@cache.internal/0" in said.output


@pytest.mark.parametrize("name", SECRETS)
def test_nor_one_that_comes_from_a_file(environ, tmp_path, name):
    (tmp_path / "secret").write_text(environ.pop(name))
    said = CliRunner().invoke(
        main, ["server", "check-config"], env={**environ, f"{name}_FILE": str(tmp_path / "secret")}
    )
    assert (said.exit_code, PLANTED in said.output) == (0, False), said.output
