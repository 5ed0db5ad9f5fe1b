"""What every generator promises of its values, whatever it is told; and what it can not be told."""

import json
import re
import string
import uuid
from datetime import UTC, datetime

import bcrypt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from scaivault.crypto import generation
from scaivault.features.generators.model import configs
from scaivault.features.generators.model.fields import GENERATORS, MAX_FIELDS, as_rows, parse_fields
from scaivault.features.generators.model.policies import PolicyType, usual_fields
from scaivault.features.generators.routes.messages import PreviewBody
from scaivault.features.generators.service.generation import generated
from scaivault.kernel.errors import ValidationFailed
from scaivault.kernel.plaintext import Plaintext

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
MAX_DATA_BYTES = 1024 * 1024  # of a secret, contract D1
PATIENT = settings(deadline=None)  # no assertion about time


def fields_of(*fields):
    return PreviewBody.model_validate({"fields": list(fields)}).given_fields()


def values(*fields):
    return json.loads(generated(fields_of(*fields), NOW).reveal())


def value(generator, **config):
    return values({"name": "x", "generator": generator, "config": config})["x"]


def refusal(*fields):
    with pytest.raises(ValidationError) as refused:
        fields_of(*fields)
    return refused.value.errors(include_url=False)


RANDOM = st.fixed_dictionaries(
    {
        "length": st.integers(4, configs.MAX_LENGTH) | st.integers(4, 12),
        "charset": st.sampled_from(list(configs.CHARSETS)),
    },
    optional={name: st.booleans() for name in ("require_upper", "require_lower", "require_digit", "require_symbol")},
)
KINDS = {
    "require_upper": string.ascii_uppercase,
    "require_lower": string.ascii_lowercase,
    "require_digit": string.digits,
    "require_symbol": string.punctuation,
}


class TestRandom:
    @PATIENT
    @given(RANDOM)
    def test_it_has_its_length_its_charset_and_what_is_required(self, config):
        try:
            made = value("random", **config)
        except ValidationError:
            wanted = [kind for name, kind in KINDS.items() if config.get(name) and name != "require_symbol"]
            assert any(not set(kind) & set(configs.CHARSETS[config["charset"]]) for kind in wanted)
            return
        assert len(made) == config["length"]
        allowed = set(configs.CHARSETS[config["charset"]])
        if config.get("require_symbol") and "_" not in allowed:
            allowed |= set(string.punctuation) - set("'\"`\\")
        assert set(made) <= allowed
        for name, kind in KINDS.items():
            assert not config.get(name) or set(made) & set(kind)

    def test_the_alphabets_are_what_is_documented(self):
        assert {name: len(set(alphabet)) for name, alphabet in configs.CHARSETS.items()} == {
            "alphanumeric": 62,
            "alpha": 52,
            "numeric": 10,
            "safe": 57,
        }
        assert not set(configs.SAFE) & set("0Oo1lI")
        assert re.fullmatch(r"[A-Za-z0-9_]+", configs.SAFE)
        assert not set(configs.SYMBOLS) & set("'\"`\\ ")

    @pytest.mark.parametrize(
        ("charset", "required"),
        [("numeric", "require_upper"), ("numeric", "require_lower"), ("alpha", "require_digit")],
    )
    def test_what_a_charset_does_not_have_can_not_be_required(self, charset, required):
        [fault] = refusal({"name": "x", "generator": "random", "config": {"charset": charset, required: True}})
        assert fault["loc"] == ("fields", 0, "random", "config")

    def test_the_hardest_demand_is_met_by_one_text_in_a_hundred(self):
        """How long `random_text` may try: counted, of all texts of the shortest length."""
        odds = {}
        for charset in configs.CHARSETS:
            kinds = [
                name
                for name, kind in KINDS.items()
                if name == "require_symbol" or set(kind) & set(configs.CHARSETS[charset])
            ]
            config = configs.Random(length=4, charset=charset, **dict.fromkeys(kinds, True))
            odds[charset] = satisfying(config) / len(config.alphabet) ** 4
        assert min(odds.values()) > 0.01


def satisfying(config):
    """How many texts of the config's length have all that is required: inclusion and exclusion."""
    total = 0
    for chosen in range(2 ** len(config.required)):
        without = [group for number, group in enumerate(config.required) if chosen >> number & 1]
        left = len(config.alphabet) - sum(map(len, without))
        total += (-1) ** len(without) * left**config.length
    return total


class TestOtherTexts:
    @PATIENT
    @given(st.integers(4, configs.MAX_LENGTH))
    def test_hex_is_so_many_lower_case_digits(self, length):
        assert re.fullmatch(f"[0-9a-f]{{{length}}}", value("hex", length=length))

    @pytest.mark.parametrize("version", [4, 7])
    def test_a_uuid_has_its_version_and_the_variant_of_the_standard(self, version):
        made = value("uuid", version=version)
        assert str(uuid.UUID(made)) == made
        assert (uuid.UUID(made).version, uuid.UUID(made).variant) == (version, uuid.RFC_4122)

    @PATIENT
    @given(st.text(max_size=200), st.integers(1, 256), st.integers(1, 256))
    def test_a_template_keeps_its_text_and_fills_the_rest(self, text, letters, digits):
        assume("{" not in text)
        made = value(
            "template", template=f"{text}{{{{random:{letters}}}}}-{{{{hex:{digits}}}}}-{{{{uuid}}}}-{{{{timestamp}}}}"
        )
        assert made.startswith(text)
        rest = f"[A-Za-z0-9]{{{letters}}}-[0-9a-f]{{{digits}}}-[0-9a-f-]{{36}}-{int(NOW.timestamp())}"
        assert re.fullmatch(rest, made[len(text) :])

    def test_every_placeholder_is_filled_anew(self):
        first, second = value("template", template="{{random:20}} {{random:20}}").split()
        assert first != second

    @PATIENT
    @given(st.text(max_size=configs.MAX_STATIC))
    def test_a_static_value_is_itself(self, text):
        assert value("static", value=text) == text


class TestPairs:
    @pytest.mark.parametrize(
        ("name", "public"),
        [
            ("private_key", "public_key"),
            ("deploy_private_key", "deploy_public_key"),
            ("TLS_PRIVATE_KEY", "TLS_PUBLIC_KEY"),
            ("myPrivateKey", "myPublicKey"),
            ("private_private", "public_private"),
            ("tls", "tls_public"),
        ],
    )
    def test_the_public_half_has_a_name_of_its_own(self, name, public):
        assert set(values({"name": name, "generator": "ec_keypair"})) == {name, public}

    @pytest.mark.parametrize(
        ("generator", "config"),
        [("rsa_keypair", {}), ("ec_keypair", {"curve": "P-256"}), ("ec_keypair", {"curve": "P-384"})],
    )
    def test_a_pem_pair_belongs_together(self, generator, config):
        made = values({"name": "private_key", "generator": generator, "config": config})
        public = serialization.load_pem_private_key(made["private_key"].encode(), None).public_key()
        assert public == serialization.load_pem_public_key(made["public_key"].encode())

    @settings(max_examples=20, deadline=None)
    @given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=200))
    def test_an_ssh_comment_stays_on_the_line(self, comment):
        made = values({"name": "private_key", "generator": "ssh_keypair", "config": {"comment": comment}})
        assert made["public_key"].split(" ", 2)[2:] == ([comment] if comment else [])
        assert len(made["public_key"].splitlines()) == 1

    def test_a_bcrypt_field_gives_the_password_and_its_hash(self):
        made = values({"name": "password", "generator": "bcrypt_hash", "config": {"length": 72, "rounds": 10}})
        assert set(made) == {"password", "password_hash"}
        assert re.fullmatch("[A-Za-z0-9]{72}", made["password"])
        assert bcrypt.checkpw(made["password"].encode(), made["password_hash"].encode())

    def test_the_longest_password_is_what_bcrypt_takes(self):
        assert configs.MAX_BCRYPT_LENGTH == generation.MAX_BCRYPT_BYTES


GOOD = {
    "random": {},
    "hex": {},
    "uuid": {},
    "template": {"template": "{{uuid}}"},
    "rsa_keypair": {},
    "ec_keypair": {},
    "ssh_keypair": {},
    "bcrypt_hash": {"rounds": 10},
    "static": {"value": "x"},
}
BAD = [
    ("random", "length", [3, 1_025, -1, 10**30, "32", 4.0, True, None]),
    ("random", "charset", ["ALPHA", "", "unicode", None, ["alpha"], "abc"]),
    ("random", "require_upper", ["true", 1, None]),
    ("hex", "length", [3, 1_025, "8"]),
    ("uuid", "version", [1, 5, "4", 4.5, None]),
    ("template", "template", ["", "{{x}}", None, "{{uuid}}" + "x" * 2_000, 1]),
    ("rsa_keypair", "bits", [1024, 3072, 8192, 2**31, "2048"]),
    ("ec_keypair", "curve", ["P-521", "secp256k1", "p-256", None]),
    ("ssh_keypair", "key_type", ["dsa", "ecdsa", "RSA", None]),
    ("ssh_keypair", "comment", ["a\nssh-ed25519 AAAA", "a\rb", "a\x1bb", "a\u2028b", "x" * 201, None]),
    ("bcrypt_hash", "length", [7, 73, "32"]),
    ("bcrypt_hash", "rounds", [4, 9, 15, 31, "12"]),
    ("static", "value", [None, 1, {}, "x" * 4_097]),
]


class TestValidation:
    @pytest.mark.parametrize("generator", GENERATORS)
    def test_every_generator_does_with_little_and_with_no_option_it_does_not_know(self, generator):
        assert all(values({"name": "x", "generator": generator, "config": GOOD[generator]}).values())
        [fault] = refusal({"name": "x", "generator": generator, "config": {**GOOD[generator], "seed": 1}})
        assert fault["loc"] == ("fields", 0, generator, "config", "seed")

    @pytest.mark.parametrize(
        ("generator", "option", "bad"),
        [(generator, option, bad) for generator, option, all_bad in BAD for bad in all_bad],
    )
    def test_a_fault_names_its_field_and_quotes_nothing(self, generator, option, bad):
        [fault] = refusal({"name": "x", "generator": generator, "config": {**GOOD[generator], option: bad}})
        assert fault["loc"] == ("fields", 0, generator, "config", option)
        assert not isinstance(bad, str) or len(bad) < 6 or bad not in fault["msg"]

    @pytest.mark.parametrize("name", ["", ".x", "-x", "a b", "a\n", "é", "a/b", "x" * 65, 1, None])
    def test_a_name_is_a_word(self, name):
        [fault] = refusal({"name": name, "generator": "hex"})
        assert fault["loc"][-1] == "name"

    @pytest.mark.parametrize("generator", ["", "Random", "eval", None, 1, ["random"], {}])
    def test_an_unknown_generator_is_not_quoted(self, generator):
        [fault] = refusal({"name": "x", "generator": generator})
        assert fault["loc"] == ("fields", 0)
        assert fault["msg"].endswith(f"its generator is one of {', '.join(GENERATORS)}")

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (("x", "hex"), ("x", "uuid")),
            (("private_key", "ssh_keypair"), ("public_key", "ssh_keypair")),
            (("tls", "ec_keypair"), ("tls_public", "hex")),
            (("password", "bcrypt_hash"), ("password_hash", "hex")),
        ],
    )
    def test_no_two_fields_give_the_same_name(self, first, second):
        [fault] = refusal(*({"name": name, "generator": generator} for name, generator in (first, second)))
        assert fault["loc"] == ("fields",)
        assert second[0] in fault["msg"]

    def test_there_are_1_to_32_fields(self):
        many = [{"name": f"x{number}", "generator": "uuid"} for number in range(MAX_FIELDS + 1)]
        assert len(values(*many[:-1])) == MAX_FIELDS
        assert refusal(*many)[0]["loc"] == ("fields",)
        assert refusal()[0]["loc"] == ("fields",)

    @pytest.mark.parametrize(
        ("generator", "config", "most"),
        [
            ("rsa_keypair", {"bits": 4096}, 4),
            ("ssh_keypair", {"key_type": "rsa"}, 12),
            ("bcrypt_hash", {"rounds": 14}, 1),
            ("bcrypt_hash", {"rounds": 12}, 7),
            ("rsa_keypair", {"bits": 2048}, 32),
        ],
    )
    def test_a_policy_makes_only_so_much_work(self, generator, config, most):
        many = [{"name": f"x{number}", "generator": generator, "config": config} for number in range(most + 1)]
        assert len(fields_of(*many[:-1])) == most
        assert refusal(*many)[0]["loc"] == ("fields",)

    @pytest.mark.parametrize(
        ("generator", "config"),
        [
            ("random", {"length": configs.MAX_LENGTH, "require_symbol": True}),
            ("hex", {"length": configs.MAX_LENGTH}),
            ("template", {"template": "{{random:256}}" * 16 + "\x01" * (configs.MAX_TEMPLATE - 16 * 14)}),
            ("static", {"value": "\x01" * configs.MAX_STATIC}),
            ("static", {"value": "\U0001f511" * configs.MAX_STATIC}),
            ("ec_keypair", {"curve": "P-384"}),
        ],
    )
    def test_the_widest_policy_fits_into_a_secret(self, generator, config):
        many = [{"name": f"x{number}", "generator": generator, "config": config} for number in range(MAX_FIELDS)]
        assert len(generated(fields_of(*many), NOW).reveal()) < MAX_DATA_BYTES


class TestPolicyTypes:
    @pytest.mark.parametrize(
        ("policy_type", "names"),
        [
            ("password", {"password"}),
            ("api_key", {"api_key"}),
            ("oauth_client", {"client_id", "client_secret"}),
            ("ssh_key", {"private_key", "public_key"}),
        ],
    )
    def test_each_has_its_usual_fields(self, policy_type, names):
        body = PreviewBody.model_validate({"policy_type": policy_type})
        assert set(json.loads(generated(body.given_fields(), NOW).reveal())) == names

    def test_a_custom_one_has_none(self):
        with pytest.raises(ValidationFailed) as refused:
            usual_fields(PolicyType.CUSTOM)
        assert set(refused.value.details["fields"]) == {"fields"}

    @pytest.mark.parametrize("policy_type", PolicyType)
    def test_they_are_hints(self, policy_type):
        body = PreviewBody.model_validate(
            {"policy_type": policy_type.value, "fields": [{"name": "x", "generator": "hex"}]}
        )
        assert [field.name for field in body.given_fields()] == ["x"]


def test_a_row_gives_back_what_was_put_in():
    fields = fields_of(*({"name": f"{name}_x", "generator": name, "config": GOOD[name]} for name in GENERATORS))
    rows = json.loads(json.dumps(as_rows(fields)))
    assert parse_fields(rows) == fields
    assert rows[0]["config"]["charset"] == "alphanumeric"


def test_what_is_generated_does_not_show_itself():
    made = generated(fields_of({"name": "x", "generator": "static", "config": {"value": "the-value"}}), NOW)
    assert isinstance(made, Plaintext)
    assert "the-value" not in f"{made!r} {made}"
