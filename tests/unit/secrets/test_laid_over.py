"""Generated fields over those that are there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.features.secrets.errors import SecretUnreadable
from scaivault.features.secrets.service.renewing import laid_over
from scaivault.kernel.plaintext import Plaintext

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=4)


def sealed(fields):
    return Plaintext(json.dumps(fields, ensure_ascii=False).encode())


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.dictionaries(NAMES, st.text("ab"), max_size=3))
def test_of_each_name_the_generated_value_and_of_all_others_the_present_one(present, generated):
    found = json.loads(laid_over(sealed(present), sealed(generated)).reveal())
    assert found == {name: generated.get(name, present.get(name)) for name in {*present, *generated}}


@pytest.mark.parametrize("present", [b"", b"hunter2", b'["hunter2"]', b'{"password": "hunter2"', b"\xff"])
def test_what_is_no_object_is_left_alone_and_not_quoted(present):
    with pytest.raises(SecretUnreadable) as refused:
        laid_over(Plaintext(present), sealed({"password": "new"}))
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
    assert "hunter2" not in f"{refused.value!r} {refused.value}"
