"""What nobody can guess: uniform where it is promised, keys and hashes that other programs take."""

import collections
import math
import shutil
import string
import subprocess

import bcrypt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from scaivault.crypto import generation
from scaivault.features.generators.model.configs import ALPHANUMERIC, SAFE, SYMBOLS

DRAWS = 60_000


def chi_square(counts, expected):
    return sum((counts[value] - expected) ** 2 / expected for value in counts)


def far_out(freedom):
    """A value of chi-square that chance goes beyond less than once in 10**12 (Laurent and Massart, 2000, lemma 1)."""
    x = math.log(1e12)
    return freedom + 2 * math.sqrt(freedom * x) + 2 * x


def assert_uniform(texts, universe):
    counts = collections.Counter(dict.fromkeys(universe, 0))
    counts.update(texts)
    assert set(counts) == set(universe)
    assert chi_square(counts, len(texts) / len(counts)) < far_out(len(counts) - 1)


class TestUniformity:
    @pytest.mark.parametrize("alphabet", [ALPHANUMERIC, SAFE, ALPHANUMERIC + SYMBOLS], ids=len)
    def test_every_character_is_as_likely_as_any_other_at_every_position(self, alphabet):
        texts = [generation.random_text(alphabet, 4) for _ in range(DRAWS)]
        for position in range(4):
            assert_uniform([text[position] for text in texts], alphabet)

    def test_all_texts_that_satisfy_are_equally_likely(self):
        """Every one of them is counted: `aa1`, `a1b`, … have a letter and a digit."""
        alphabet, required = "ab12", ("ab", "12")
        universe = [
            x + y + z
            for x in alphabet
            for y in alphabet
            for z in alphabet
            if all(set(x + y + z) & set(group) for group in required)
        ]
        assert len(universe) == 48
        assert_uniform([generation.random_text(alphabet, 3, required) for _ in range(DRAWS)], universe)

    def test_what_is_required_stands_nowhere_in_particular(self):
        """A digit that is put in to satisfy would be found at one place more often than at another."""
        texts = [generation.random_text(string.ascii_lowercase + "7", 8, ("7",)) for _ in range(20_000)]
        places = [place for text in texts for place in range(8) if text.count("7") == 1 and text[place] == "7"]
        assert_uniform(places, range(8))

    def test_this_test_would_see_a_remainder(self):
        """256 values folded onto 62 characters, which is the usual fault: the first eight come more often."""
        folded = [ALPHANUMERIC[int(generation.random_hex(2), 16) % 62] for _ in range(DRAWS)]
        counts = collections.Counter(folded)
        assert chi_square(counts, DRAWS / 62) > far_out(61)

    @pytest.mark.parametrize("length", [4, 5])
    def test_hexadecimal_digits_are_too_the_last_one_of_an_odd_number_among_them(self, length):
        texts = [generation.random_hex(length) for _ in range(DRAWS)]
        for place in (0, length - 1):
            assert_uniform([text[place] for text in texts], "0123456789abcdef")


def openssl(*arguments, given):
    done = subprocess.run(["openssl", *arguments], input=given, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


class TestKeyPairs:
    PAIRS = {
        "rsa": lambda: generation.rsa_pair(2048),
        "P-256": lambda: generation.ec_pair("P-256"),
        "P-384": lambda: generation.ec_pair("P-384"),
    }

    @pytest.mark.parametrize("kind", PAIRS)
    def test_openssl_finds_the_public_half_in_the_private_one(self, kind):
        pair = self.PAIRS[kind]()
        assert openssl("pkey", "-check", "-noout", given=pair.private).strip() == "Key is valid"
        assert openssl("pkey", "-pubout", given=pair.private) == pair.public

    @pytest.mark.parametrize("bits", [2048, 4096])
    def test_an_rsa_key_has_the_bits_it_was_asked_for(self, bits):
        key = serialization.load_pem_private_key(generation.rsa_pair(bits).private.encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.key_size == bits
        assert key.private_numbers().public_numbers.e == 65_537

    @pytest.mark.parametrize(("curve", "kind"), [("P-256", ec.SECP256R1), ("P-384", ec.SECP384R1)])
    def test_an_ec_key_lies_on_its_curve(self, curve, kind):
        key = serialization.load_pem_private_key(generation.ec_pair(curve).private.encode(), None)
        assert isinstance(key.curve, kind)

    @pytest.mark.parametrize("key_type", ["ed25519", "rsa"])
    @pytest.mark.parametrize("comment", ["", "deploy@example", "two words, é"])
    def test_an_ssh_pair_belongs_together_and_carries_its_comment(self, key_type, comment):
        pair = generation.ssh_pair(key_type, comment)
        private = serialization.load_ssh_private_key(pair.private.encode(), None)
        line = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        assert pair.public == f"{line.decode()} {comment}".rstrip()
        assert "\n" not in pair.public

    @pytest.mark.parametrize("key_type", ["ed25519", "rsa"])
    def test_openssh_reads_it(self, tmp_path, key_type):
        """By OpenSSH itself where there is one, else by the library's reader of its form."""
        pair = generation.ssh_pair(key_type, "c")
        file = tmp_path / "key"
        file.touch(0o600)
        file.write_text(pair.private)
        if shutil.which("ssh-keygen"):
            derived = subprocess.run(["ssh-keygen", "-y", "-f", str(file)], check=True, capture_output=True, text=True)
            told = derived.stdout
        else:
            key = serialization.load_ssh_private_key(file.read_bytes(), None).public_key()
            told = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
        assert told.split()[:2] == pair.public.split()[:2]

    def test_no_two_are_alike(self):
        assert len({generation.ec_pair("P-256").private for _ in range(20)}) == 20
        assert len({generation.ssh_pair("ed25519", "").private for _ in range(20)}) == 20


class TestHashes:
    def test_it_verifies_and_nothing_else_does(self):
        hashed = generation.bcrypt_hash("a password", 10).encode()
        assert hashed.startswith(b"$2b$10$")
        assert bcrypt.checkpw(b"a password", hashed)
        assert not bcrypt.checkpw(b"a passwore", hashed)

    def test_no_part_of_the_longest_password_is_ignored(self):
        longest = generation.random_text(ALPHANUMERIC, generation.MAX_BCRYPT_BYTES)
        hashed = generation.bcrypt_hash(longest, 10).encode()
        assert bcrypt.checkpw(longest.encode(), hashed)
        assert not bcrypt.checkpw(longest[:-1].encode(), hashed)

    def test_the_same_password_is_hashed_differently_each_time(self):
        assert generation.bcrypt_hash("a password", 10) != generation.bcrypt_hash("a password", 10)
