"""Templates: nothing but the documented placeholders, read in one way."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaivault.features.generators.model.templates import Filling, Placeholder, pieces

PLACEHOLDERS = st.one_of(
    st.builds(Placeholder, st.sampled_from([Filling.RANDOM, Filling.HEX]), st.integers(1, 256)),
    st.builds(Placeholder, st.sampled_from([Filling.UUID, Filling.TIMESTAMP])),
)
# What can stand before a placeholder without being mistaken for a part of it.
LITERALS = st.text(st.characters(exclude_characters="{", exclude_categories=["Cs"]), max_size=20)


def spelled(placeholder):
    if placeholder.length:
        return f"{{{{{placeholder.filling}:{placeholder.length}}}}}"
    return f"{{{{{placeholder.filling}}}}}"


@settings(deadline=None)
@given(st.lists(st.tuples(LITERALS, PLACEHOLDERS), min_size=1, max_size=16), LITERALS)
def test_it_is_read_as_it_was_written(parts, end):
    template = "".join(text + spelled(placeholder) for text, placeholder in parts) + end
    assert pieces(template) == (*(piece for part in parts for piece in part), end)


@settings(deadline=None)
@given(st.text(alphabet="{}:0123456789abdehimnoprstu ", max_size=60))
def test_whatever_it_is_it_has_one_reading_or_none(template):
    try:
        read = pieces(template)
    except ValueError:
        return
    assert "".join(piece if isinstance(piece, str) else spelled(piece) for piece in read) == template
    assert not any("{{" in piece for piece in read if isinstance(piece, str))


@pytest.mark.parametrize(
    "template",
    [
        "",
        "text alone",
        "{uuid}}",
        "{{uuid}",
        "{{",
        "{{}}",
        "{{ uuid }}",
        "{{UUID}}",
        "{{uuid:4}}",
        "{{timestamp:1}}",
        "{{random}}",
        "{{random:}}",
        "{{random:0}}",
        "{{random:01}}",
        "{{random:-1}}",
        "{{random:+1}}",
        "{{random:257}}",
        "{{random:999999999999999999999}}",
        "{{random:٣}}",
        "{{hex:1e1}}",
        "{{uuid\n}}",
        "{{{uuid}}}",
        "{{random:{{hex:1}}}}",
        "{{uuid}}{{nothing}}",
        "{{7*7}}",
        "{{config.__class__}}",
        "{{random:8|upper}}",
        "{{uuid}}" * 17,
    ],
)
def test_what_is_no_template_is_refused_without_being_quoted(template):
    with pytest.raises(ValueError, match="placeholder") as refusal:
        pieces(template)
    assert "nothing" not in str(refusal.value)
    assert "__class__" not in str(refusal.value)


def test_other_languages_are_text():
    assert pieces("${PATH} %s $(id) `id` {% x %} {{uuid}}}}")[0] == "${PATH} %s $(id) `id` {% x %} "
