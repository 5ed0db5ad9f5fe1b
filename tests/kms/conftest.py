"""The key services under their tests: AWS KMS by moto over HTTP, and a SoftHSM token."""

import shutil

import pytest

from scaivault.settings import process_environ
from tests.kms import aws, hsm


@pytest.fixture(scope="session")
def aws_server():
    server, stop = aws.start()
    yield server
    stop()


@pytest.fixture
def aws_kms(aws_server, monkeypatch):
    """The server without faults, and credentials for it in the environment, where AWS's chain finds them."""
    for name, value in aws.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    aws_server.seen.clear()
    yield aws_server
    aws_server.down = False
    aws_server.next_answers.clear()


@pytest.fixture(scope="session")
def hsm_tokens(tmp_path_factory):
    """Where SoftHSM keeps this process's tokens: the library asks the environment for its configuration."""
    if not hsm.LIBRARY.exists() or shutil.which("softhsm2-util") is None:
        missing = "SoftHSM is missing: apt-get install softhsm2 (`make test` does it as root on Debian)"
        (pytest.fail if process_environ().get("CI") else pytest.skip)(missing)
    folder = tmp_path_factory.mktemp("softhsm")
    tokens = folder / "tokens"
    tokens.mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOFTHSM2_CONF", str(configuration))
        yield tokens


@pytest.fixture
def hsm_token(hsm_tokens, tmp_path):
    """A token with a root key."""
    token = hsm.make_token(hsm_tokens, tmp_path)
    token.add_root()
    return token
