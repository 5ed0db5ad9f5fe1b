"""Bodies: within the bounds every JSON object comes through unchanged, beyond them none does, and none is quoted."""

import json
import random
from typing import Annotated, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from scaivault.edge.bodies import (
    MAX_DEPTH,
    MAX_FAULTS,
    MAX_PARTS,
    check_size,
    parse_json,
    parse_object,
    validate,
)
from scaivault.edge.messages import Body, Duration
from scaivault.kernel.errors import BodyTooLarge, InvalidDuration, InvalidRequest, ValidationFailed

PLANTED = "hunter2-planted"

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
objects = st.dictionaries(texts, values, max_size=6)


def nested(levels, kinds):
    """`levels` objects and lists inside each other, as `kinds` chooses."""
    text = "1"
    for _ in range(levels):
        text = '{"a":' + text + "}" if kinds.random() < 0.5 else f"[{text}]"
    return text.encode()


class TestWithinBounds:
    @given(objects, st.booleans(), st.sampled_from([None, 2]))
    @example({"\\u0000": "\\ud800"}, True, None)
    @example({"🔑": "\U0010ffff"}, True, None)
    @example({'"': '[{,}]\\"'}, False, None)
    def test_any_object_comes_through_unchanged(self, value, ascii_only, indent):
        raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
        parsed = parse_object(raw)
        assert parsed == value
        assert json.dumps(parsed) == json.dumps(value)

    @given(st.text('[]{},:"\\ \t', max_size=60))
    def test_structure_inside_of_text_is_text(self, text):
        assert parse_object(json.dumps({"text": text, text: 1}).encode())[text] == 1

    def test_structure_inside_of_text_is_not_counted(self):
        text = "[{,}]" * MAX_PARTS
        assert parse_object(json.dumps({"text": text}).encode()) == {"text": text}

    def test_the_widest_object(self):
        widest = {str(number): number for number in range(MAX_PARTS - 1)}
        assert parse_object(json.dumps(widest).encode()) == widest

    def test_the_longest_list(self):
        longest = [1] * (MAX_PARTS - 1)
        assert parse_json(json.dumps(longest).encode()) == longest


class TestBeyondBounds:
    @given(st.integers(1, 2 * MAX_DEPTH), st.randoms(use_true_random=False))
    @example(MAX_DEPTH, random.Random(1))
    @example(MAX_DEPTH + 1, random.Random(1))
    def test_depth_is_bounded_whatever_is_nested(self, levels, kinds):
        if levels <= MAX_DEPTH:
            assert parse_json(nested(levels, kinds)) is not None
        else:
            with pytest.raises(InvalidRequest, match="deeper"):
                parse_json(nested(levels, kinds))

    @pytest.mark.parametrize("more", [1, 2, MAX_PARTS])
    @pytest.mark.parametrize("made", [lambda n: {str(k): 1 for k in range(n)}, lambda n: [1] * n, lambda n: [[]] * n])
    def test_the_number_of_parts_is_bounded(self, made, more):
        raw = json.dumps(made(MAX_PARTS - 1 + more)).encode()
        with pytest.raises(InvalidRequest, match="keys and items"):
            parse_json(raw)

    @pytest.mark.parametrize(
        "raw",
        [
            b"[" * 1_000_000,
            b'{"a":' * 200_000,
            b"," * 1_000_000,
            b"]" * 1_000_000,
            b'"' * 999_999,
            b'"' + b"\\" * 999_999,
            b'"' + b"a" * 999_999,
            b'"\\' * 500_000,
            b'{"a":"' + b"\\u0000" * 150_000 + b'"}',
        ],
        ids=lambda raw: raw[:6].decode() + "…",
    )
    def test_a_megabyte_of_malice_is_refused(self, raw):
        with pytest.raises(InvalidRequest):
            parse_json(raw)

    @pytest.mark.parametrize("declared", [0, 10, None])
    def test_a_body_of_the_greatest_size_is_read(self, declared):
        check_size(declared, 10)

    @pytest.mark.parametrize("declared", [11, 10**15])
    def test_a_larger_one_is_not(self, declared):
        with pytest.raises(BodyTooLarge):
            check_size(declared, 10)


class TestNotJson:
    @given(st.binary(max_size=60) | st.text('[]{},:"\\u00dDeE+-.1truefalsn ', max_size=40).map(str.encode))
    def test_any_bytes_are_an_object_or_refused(self, raw):
        try:
            parsed = parse_object(raw)
        except InvalidRequest:
            return
        assert isinstance(parsed, dict)

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b" ",
            b"null",
            b"[]",
            b'"text"',
            b"1",
            b'{"a":1} {"b":2}',
            b'{"a":1},',
            b'{"a":1',
            b"{'a':1}",
            b'{"a":1,}',
            b"{a:1}",
            b'{"a":01}',
            b'{"a":.5}',
            b'{"a":+1}',
            b'{"a":tru}',
            b'{"a":"\x01"}',
            b'{"a":"\n"}',
            b'{"a":"\\x"}',
            b'{"a":"\\u12"}',
            b"\xef\xbb\xbf{}",
            '{"a":1}'.encode("utf-16"),
            '{"a":1}'.encode("utf-32"),
            b'{"a":"\xff"}',
            b'{"a":"\xed\xa0\x80"}',
            b'{"a":"\xc0\x80"}',
        ],
    )
    def test_is_refused(self, raw):
        with pytest.raises(InvalidRequest):
            parse_object(raw)

    @pytest.mark.parametrize(
        "raw",
        [b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b'{"x":{"a":1,"b":[{"a":1,"a":1}]}}', b'{"":1,"":1}'],
    )
    def test_the_same_key_twice_is_refused(self, raw):
        with pytest.raises(InvalidRequest, match="same key twice"):
            parse_object(raw)

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5_000])
    @pytest.mark.parametrize("around", ['{"a":%s}', '{"a":[{"b":%s}]}'])
    def test_what_is_no_finite_number_is_refused(self, around, number):
        with pytest.raises(InvalidRequest):
            parse_object((around % number).encode())

    @pytest.mark.parametrize("spelt", [r"\u0000", r"\\\u0000"])
    @pytest.mark.parametrize("around", ['{"a":"%s"}', '{"%s":1}', '{"a":[["x%sx"]]}', '{"a":{"b":{"%s":1}}}'])
    def test_a_nul_is_refused_wherever_it_stands(self, around, spelt):
        with pytest.raises(InvalidRequest, match="NUL"):
            parse_object((around % spelt).encode())

    @pytest.mark.parametrize("spelt", [r"\ud800", r"\udfff", r"\ud800\ud800", r"\uDC00\uD800", r"x\uD83Dx"])
    @pytest.mark.parametrize("around", ['{"a":"%s"}', '{"%s":1}', '{"a":[["%s"]]}'])
    def test_half_a_surrogate_pair_is_refused_wherever_it_stands(self, around, spelt):
        with pytest.raises(InvalidRequest, match="surrogate"):
            parse_object((around % spelt).encode())

    def test_a_whole_pair_is_a_character(self):
        assert parse_object(rb'{"a":"\ud83d\udd11"}') == {"a": "🔑"}

    @pytest.mark.parametrize(
        "raw",
        [
            f'{{"a":"{PLANTED}",}}',
            f'{{"a":"{PLANTED}"',
            f'{{"{PLANTED}":1,"{PLANTED}":2}}',
            f'{{"a":"{PLANTED}\\u0000"}}',
            f'{{"a":"{PLANTED}\\ud800"}}',
            f'{{"a":{PLANTED}}}',
            f'{{"a":"{PLANTED}" NaN}}',
            f'["{PLANTED}"]',
            f'{{"a":"{PLANTED}\\x"}}',
        ],
    )
    def test_the_refusal_does_not_repeat_what_came(self, raw):
        with pytest.raises(InvalidRequest) as refusal:
            parse_object(raw.encode())
        assert PLANTED not in refusal.value.message + repr(refusal.value.details)
        assert refusal.value.__context__ is None or refusal.value.__suppress_context__


class Card(Body):
    kind: Literal["card"]


class Invoice(Body):
    kind: Literal["invoice"]
    number: str

    @model_validator(mode="after")
    def _is_odd(self) -> "Invoice":
        raise ValueError("this one is never sound")


class Order(Body):
    count: int = Field(ge=1)
    name: str = Field(max_length=5)
    lines: list[dict[str, int]] = Field(default_factory=list, max_length=2)
    payment: Annotated[Card | Invoice, Field(discriminator="kind")] | None = None
    card: Card | None = None


class TestValidation:
    def test_a_value_of_the_type_is_that_type(self):
        assert validate(Order, {"count": 2, "name": "ok"}) == Order(count=2, name="ok")

    @pytest.mark.parametrize(
        ("value", "fields"),
        [
            ({}, ["count", "name"]),
            ({"count": "2", "name": "ok"}, ["count"]),
            ({"count": True, "name": "ok"}, ["count"]),
            ({"count": 0, "name": 5}, ["count", "name"]),
            ({"count": 1, "name": "ok", "lines": [{"a": 1}, {"a": None}]}, ["lines.1.a"]),
            ({"count": 1, "name": "ok", "cuont": 1}, ["cuont"]),
            ({"count": 1, "name": "ok", "x" * 5_000: 1}, ["x" * 100]),
            ({"count": 1, "name": "ok", "payment": {"kind": "card", "odd": 1}}, ["payment.odd"]),
            ({"count": 1, "name": "ok", "payment": {"kind": "card", "card": 1}}, ["payment.card"]),
            ({"count": 1, "name": "ok", "payment": {"kind": "invoice"}}, ["payment.number"]),
            ({"count": 1, "name": "ok", "payment": {"kind": "invoice", "number": "7"}}, ["payment"]),
            ([], ["body"]),
        ],
    )
    def test_each_fault_is_named_by_its_place(self, value, fields):
        with pytest.raises(ValidationFailed) as refusal:
            validate(Order, value)
        assert list(refusal.value.details["fields"]) == fields

    @pytest.mark.parametrize(
        ("value", "field", "reason"),
        [
            ([], "body", "must be an object"),
            ({"card": PLANTED}, "card", "must be an object"),
            ({"lines": [PLANTED]}, "lines.0", "must be an object"),
            ({"payment": PLANTED}, "payment", "must be an object"),
            ({"payment": {}}, "payment", "must say its 'kind'"),
            ({"payment": {"kind": PLANTED}}, "payment", "its 'kind' must be one of 'card', 'invoice'"),
        ],
    )
    def test_reasons_speak_of_json_and_not_of_our_types(self, value, field, reason):
        whole = {"count": 1, "name": "ok"} | value if isinstance(value, dict) else value
        with pytest.raises(ValidationFailed) as refusal:
            validate(Order, whole)
        assert refusal.value.details["fields"] == {field: reason}

    @pytest.mark.parametrize(
        ("value", "field", "reason"),
        [
            ({"lines": None}, "lines", "must be a valid list"),
            ({"name": 5}, "name", "must be a valid string"),
            ({"count": 0}, "count", "must be greater than or equal to 1"),
            ({"name": "longer"}, "name", "must have at most 5 characters"),
            ({"lines": [{}, {}, {}]}, "lines", "must have at most 2 items"),
        ],
    )
    def test_no_reason_is_in_the_words_of_a_form(self, value, field, reason):
        with pytest.raises(ValidationFailed) as refusal:
            validate(Order, {"count": 1, "name": "ok"} | value)
        assert refusal.value.details["fields"] == {field: reason}

    def test_what_is_left_out_is_required(self):
        with pytest.raises(ValidationFailed) as refusal:
            validate(Order, {"count": 1})
        assert refusal.value.details["fields"] == {"name": "is required"}

    def test_a_part_with_a_refusal_of_its_own_is_named_beside_the_others(self):
        class Spans(Body):
            wait: Duration
            more: list[Duration] = Field(default_factory=list)

        with pytest.raises(InvalidDuration) as refusal:
            validate(Spans, {"wait": PLANTED, "more": ["1d", "0s"], "odd": 1})
        assert refusal.value.details["fields"] == {
            "wait": InvalidDuration().message,
            "more.1": "A duration is at least 1s and at most 36500d.",
            "odd": "there is no such field",
        }

    def test_no_more_faults_are_told_than_can_be_read(self):
        with pytest.raises(ValidationFailed) as refusal:
            validate(Order, {"count": 1, "name": "ok"} | {f"odd {n}": n for n in range(1_000)})
        assert len(refusal.value.details["fields"]) == MAX_FAULTS

    @given(st.dictionaries(st.sampled_from(["count", "name", "lines"]), st.just(PLANTED) | st.just([PLANTED])))
    def test_reasons_show_no_value(self, value):
        with pytest.raises(ValidationFailed) as refusal:
            validate(Order, value | {"count": PLANTED})
        assert PLANTED not in repr(refusal.value.details)
        assert refusal.value.__suppress_context__
