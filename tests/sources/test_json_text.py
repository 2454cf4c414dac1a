"""JSON as tools write it, and arrays read through a window, against the standard library's own reader."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kto_recipes.sources.json_text import array_elements, loads

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(json_values, max_size=5), st.integers(1, 40), st.sampled_from([None, 1]))
def test_an_array_read_through_a_window_of_any_size_has_the_elements_that_json_finds(elements, window, indent):
    text = json.dumps(elements, indent=indent)
    assert list(array_elements(io.StringIO(text), window)) == elements


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=5), json_values), min_size=1, max_size=4), st.integers(1, 40), st.data()
)
def test_an_array_that_is_cut_gives_its_whole_elements_and_then_an_error(elements, window, data):
    text = json.dumps(elements)
    cut = data.draw(st.integers(1, len(text) - 1))
    found = []
    with pytest.raises(ValueError, match=r"."):
        for element in array_elements(io.StringIO(text[:cut]), window):
            found.append(element)
    assert found == elements[: len(found)]


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_json_value_or_a_value_error(data):
    try:
        expected = json.loads(data.decode("utf-8-sig" if not data.startswith(b"\xef\xbb\xbf") else "utf-8"))
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            loads(data)
    else:
        assert json.dumps(loads(data)) == json.dumps(expected)
