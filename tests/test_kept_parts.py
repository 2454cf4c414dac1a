"""What was measured is found again as it was kept, and only by what it depends on."""

from pathlib import Path

import pytest

from kto_recipes.kept import KeptParts

OF = {"model": "abc", "rows": [1, 2]}


def test_what_was_kept_is_found_by_another_process_and_is_what_keeping_answered(tmp_path: Path) -> None:
    value = {"texts": ["sì 🙂", ""], "logps": [-1.25, 0.1 + 0.2, 1e-300]}
    assert KeptParts(tmp_path / "eval").keep("kto-matched", OF, value) == value
    assert KeptParts(tmp_path / "eval").find("kto-matched", {"rows": [1, 2], "model": "abc"}) == value


def test_what_depends_on_something_else_is_not_found(tmp_path: Path) -> None:
    kept = KeptParts(tmp_path)
    kept.keep("kto-matched", OF, [1.0])
    assert kept.find("kto-matched", OF | {"model": "abd"}) is None
    assert kept.find("sft-matched", OF) is None
    kept.keep("kto-matched", OF | {"model": "abd"}, [2.0])
    assert kept.find("kto-matched", OF) is None  # one of a name; the folder does not grow
    assert len(list(tmp_path.iterdir())) == 1


def test_a_number_that_is_not_finite_is_none_both_when_kept_and_when_found(tmp_path: Path) -> None:
    kept = KeptParts(tmp_path)
    values = [float("nan"), float("-inf"), float("inf"), -2.0]
    assert kept.keep("x", OF, values) == kept.find("x", OF) == [None, None, None, -2.0]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b'{"of": "abc"}', b"\xff\x00"])
def test_a_file_that_is_no_part_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    kept = KeptParts(tmp_path)
    assert kept.find("x", OF) is None
    assert kept.keep("x", OF, [1]) == kept.find("x", OF) == [1]
