import base64
import os
import re

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from scaivault.crypto.errors import UnsafeKeyFile
from scaivault.crypto.kms.local import LocalKeys, write_key_file
from scaivault.kernel.errors import Unavailable

KEY = base64.b64encode(bytes(range(32)))
GOOD = b"scaivault-local-key v1 production " + KEY + b"\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "key"


def put(path, line, mode=0o600):
    path.touch(0o600)
    path.write_bytes(line)
    path.chmod(mode)
    return path


def test_a_written_file_works_and_is_for_its_owner_alone(path):
    write_key_file(path, development=False)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert re.fullmatch(rb"scaivault-local-key v1 production [A-Za-z0-9+/]{43}=\n", path.read_bytes())
    LocalKeys(path, development=False).sign(b"works")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_written_file_is_private_whatever_the_umask(path, umask):
    before = os.umask(umask)
    try:
        write_key_file(path, development=True)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600


def test_writing_leaves_nothing_else_behind_and_never_overwrites(path):
    write_key_file(path, development=True)
    written = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_key_file(path, development=True)
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]
    assert path.read_bytes() == written


def test_a_dangling_link_is_not_written_through(path):
    path.symlink_to(path.parent / "target")
    with pytest.raises(FileExistsError):
        write_key_file(path, development=True)
    assert not (path.parent / "target").exists()


def test_written_keys_differ(tmp_path):
    for name in ("one", "two"):
        write_key_file(tmp_path / name, development=True)
    ids = {LocalKeys(tmp_path / name, development=True).key_id for name in ("one", "two")}
    assert len(ids) == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666, 0o700, 0o601, 0o4600])
def test_a_file_for_more_than_its_owner_is_refused(path, mode):
    with pytest.raises(UnsafeKeyFile, match="chmod 600"):
        LocalKeys(put(path, GOOD, mode), development=False)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_for_its_owner_alone_is_accepted(path, mode):
    assert LocalKeys(put(path, GOOD, mode), development=False).key_id.startswith("local:")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        GOOD + b"\n",
        GOOD + GOOD,
        b" " + GOOD,
        GOOD.replace(b"v1", b"v2"),
        GOOD.replace(b"production", b"staging"),
        GOOD.replace(b"=", b""),
        GOOD.replace(b" v1", b"  v1"),
        b"scaivault-local-key v1 production " + base64.b64encode(bytes(31)),
        b"scaivault-local-key v1 production " + base64.b64encode(bytes(33)),
        KEY,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD + bytes(10_000),
    ],
)
def test_a_malformed_file_is_refused(path, line):
    with pytest.raises(UnsafeKeyFile, match="not a key file"):
        LocalKeys(put(path, line), development=False)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_one_line_end_is_optional(path, end):
    assert LocalKeys(put(path, GOOD.strip() + end), development=False).sign(b"x")


def test_a_development_key_is_refused_in_production_and_a_production_key_serves_development(path):
    put(path, GOOD.replace(b"production", b"development"))
    with pytest.raises(UnsafeKeyFile, match="development key"):
        LocalKeys(path, development=False)
    assert LocalKeys(path, development=True).sign(b"x")
    assert LocalKeys(put(path, GOOD), development=True).sign(b"x")


def folder(path):
    path.mkdir(0o600)


def pipe(path):
    os.mkfifo(path, 0o600)


def link(path):
    path.symlink_to(put(path.parent / "target", GOOD))


@pytest.mark.parametrize(
    ("make", "why"),
    [(folder, "not a regular file"), (pipe, "not a regular file"), (link, "symbolic link")],
    ids=["folder", "pipe", "link"],
)
def test_what_is_no_regular_file_is_refused_without_waiting_for_it(path, make, why):
    make(path)
    with pytest.raises(UnsafeKeyFile, match=why):
        LocalKeys(path, development=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused_even_by_root(path):
    put(path, GOOD)
    os.chown(path, 12_345, -1)
    with pytest.raises(UnsafeKeyFile, match="another user"):
        LocalKeys(path, development=False)


def test_the_vault_may_start_before_its_key_file_is_there(path):
    keys = LocalKeys(path, development=False)
    with pytest.raises(Unavailable, match="does not answer"):
        keys.key_id  # noqa: B018 - asking is the act
    put(path, GOOD)
    assert keys.key_id.startswith("local:")


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o644), lambda path: path.write_bytes(b"no key")])
def test_a_file_that_turns_unsafe_later_is_refused_at_the_next_call(path, spoil):
    keys = LocalKeys(put(path, GOOD), development=False)
    spoil(path)
    with pytest.raises(UnsafeKeyFile):
        keys.sign(b"x")


def test_a_missing_folder_is_unavailable(path):
    with pytest.raises(Unavailable):
        LocalKeys(path / "key", development=False).sign(b"x")


def test_signatures_verify_with_the_public_key_for_their_message_only(path):
    keys = LocalKeys(put(path, GOOD), development=False)
    public = Ed25519PublicKey.from_public_bytes(keys.public_key)
    public.verify(keys.sign(b"message"), b"message")
    with pytest.raises(InvalidSignature):
        public.verify(keys.sign(b"message"), b"massage")


def test_the_key_id_has_its_form_and_does_not_show_the_key(path):
    key_id = LocalKeys(put(path, GOOD), development=False).key_id
    assert re.fullmatch(r"local:[0-9a-f]{16}", key_id)
    assert key_id.removeprefix("local:") not in bytes(range(32)).hex()


@pytest.mark.parametrize("length", [0, 31, 33])
def test_only_32_byte_keys_are_wrapped(path, length):
    with pytest.raises(ValueError, match="a key is 32 bytes"):
        LocalKeys(put(path, GOOD), development=False).encrypt(bytes(length), b"")
