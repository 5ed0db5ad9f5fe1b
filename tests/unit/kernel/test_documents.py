"""Others' JSON has one reading or none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.kernel.documents import MAX_DEPTH, parse_document


def nested(levels):
    return b'{"a": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize("raw", [b"{}", b' {"a": 1.5} ', '{"ä": "\\ud83d\\ude00"}'.encode(), nested(MAX_DEPTH)])
def test_an_object_is_read(raw):
    assert parse_document(raw) == json.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"1",
        b"null",
        b"{} {}",
        b"{",
        b"\xef\xbb\xbf{}",
        b"\xff{}",
        "{}".encode("utf-16"),
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e309}',
        b'{"a": ' + b"1" * 5_000 + b"}",
        nested(MAX_DEPTH + 1),
        nested(100_000),
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": "\n"}',
    ],
    ids=lambda raw: ascii(raw[:20]),
)
def test_anything_else_is_refused_and_not_quoted(raw):
    with pytest.raises(ValueError) as refused:
        parse_document(raw)
    assert refused.value.__cause__ is None
    assert str(refused.value) in {"not a JSON document of ours", "not a JSON object", "nested too deeply"}


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,1eE.-anul\\', max_size=60).map(str.encode))
def test_no_bytes_bring_another_error(raw):
    try:
        assert isinstance(parse_document(raw), dict)
    except ValueError as refused:
        assert type(refused) is ValueError
