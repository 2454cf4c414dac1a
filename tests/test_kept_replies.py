"""The journal of a model's answers: what was kept is found again, and nothing else is."""

import json
from pathlib import Path

import pytest

from kto_recipes.generation import Reply
from kto_recipes.kept import OTHERS_KEPT, KeptReplies

MODEL = {"model": "abc", "seed": 0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "answers-base_sample.jsonl"


def lines(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def filled(path: Path, count: int, of: dict | None = None) -> tuple[KeptReplies, list[str]]:
    """A journal with answers to requests 0, 1, …, added one by one, and their keys."""
    kept = KeptReplies(path, of or MODEL)
    keys = [kept.key(n) for n in range(count)]
    for n, key in enumerate(keys):
        kept.add({key: Reply(f"answer {n}", cut=n % 2 == 1)})
    return kept, keys


def test_what_was_kept_is_found_by_another_process(path: Path) -> None:
    _, keys = filled(path, 4)
    again = KeptReplies(path, MODEL)
    assert [again[key] for key in keys] == [Reply(f"answer {n}", cut=n % 2 == 1) for n in range(4)]
    assert [again.key(n) for n in range(4)] == keys
    assert again.key(4) not in again


def test_a_key_depends_on_the_request_and_on_what_all_have_in_common(path: Path) -> None:
    kept = KeptReplies(path, MODEL)
    others = [
        KeptReplies(path, MODEL | {"model": "abd"}),
        KeptReplies(path, MODEL | {"seed": 1}),
        KeptReplies(path, {"model": "abc"}),
    ]
    assert len({kept.key("q"), kept.key("r"), kept.key(["q"]), *(other.key("q") for other in others)}) == 6
    assert kept.key({"a": 1, "b": 2}) == kept.key({"b": 2, "a": 1})
    assert KeptReplies(path, dict(reversed(MODEL.items()))).key("q") == kept.key("q")


def test_answers_to_another_model_are_not_found(path: Path) -> None:
    _, keys = filled(path, 4)
    other = KeptReplies(path, MODEL | {"model": "abd"})
    assert not any(key in other for key in keys)


def test_text_of_any_kind_comes_back_as_it_was(path: Path) -> None:
    texts = ["", "two\nlines", "sì 🙂\u2028 \u0000", '"{}"', " outer "]
    kept = KeptReplies(path, MODEL)
    kept.add({kept.key(n): Reply(text) for n, text in enumerate(texts)})
    again = KeptReplies(path, MODEL)
    assert [again[again.key(n)].text for n in range(len(texts))] == texts


@pytest.mark.parametrize("left", range(0, 60, 7))
def test_a_line_that_was_torn_is_passed_over_and_the_next_one_is_whole(path: Path, left: int) -> None:
    _, keys = filled(path, 3)
    whole = path.read_bytes()
    *_, last = whole.splitlines(keepends=True)
    path.write_bytes(whole[: len(whole) - len(last) + left])
    again = KeptReplies(path, MODEL)
    assert [key in again for key in keys] == [True, True, False]
    again.add({keys[2]: Reply("once more")})
    assert [KeptReplies(path, MODEL)[key].text for key in keys] == ["answer 0", "answer 1", "once more"]


def test_a_last_line_that_lacks_only_its_end_counts(path: Path) -> None:
    _, keys = filled(path, 3)
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    again = KeptReplies(path, MODEL)
    assert keys[2] in again
    again.add({again.key(3): Reply("answer 3")})
    assert lines(path) == [f"answer {n}" for n in range(4)]


def test_what_is_no_entry_is_passed_over(path: Path) -> None:
    _, keys = filled(path, 2)
    with path.open("ab") as file:
        file.write(b'\x00\x00\x00\n[1]\n{"key": "x"}\n\xff\n\n')
    again = KeptReplies(path, MODEL)
    assert [again[key].text for key in keys] == ["answer 0", "answer 1"]


def test_an_answer_that_is_there_already_stays(path: Path) -> None:
    kept, keys = filled(path, 2)
    kept.add({keys[1]: Reply("another"), kept.key(2): Reply("answer 2")})
    assert kept[keys[1]].text == "answer 1"
    assert lines(path) == ["answer 0", "answer 1", "answer 2"]


def test_a_finished_run_leaves_what_it_used_in_its_order(path: Path) -> None:
    kept, keys = filled(path, 5)
    kept.finish([keys[3], keys[1]])
    assert lines(path) == ["answer 3", "answer 1"]
    again = KeptReplies(path, MODEL)
    again.finish([keys[3], keys[1]])
    assert lines(path) == ["answer 3", "answer 1"]


def test_a_finished_run_leaves_what_another_is_waiting_for(path: Path) -> None:
    """A dataset may name a strategy twice; the second may have been killed in the middle."""
    _, others = filled(path, 3, of=MODEL | {"settings": 1})
    kept, keys = filled(path, 2)
    kept.finish(keys)
    again = KeptReplies(path, MODEL | {"settings": 1})
    assert [again[key].text for key in others] == ["answer 0", "answer 1", "answer 2"]


def test_the_file_does_not_grow_from_run_to_run(path: Path) -> None:
    sizes = []
    for run in range(OTHERS_KEPT + 6):
        kept, keys = filled(path, 3, of=MODEL | {"seed": run})
        kept.finish(keys)
        sizes.append(len(lines(path)))
    assert sizes[: OTHERS_KEPT + 1] == [3 * (run + 1) for run in range(OTHERS_KEPT + 1)]
    assert set(sizes[OTHERS_KEPT:]) == {3 * (OTHERS_KEPT + 1)}
    newest, oldest = (KeptReplies(path, MODEL | {"seed": run}) for run in (OTHERS_KEPT + 5, 0))
    assert newest.key(0) in newest
    assert oldest.key(0) not in oldest


def test_a_run_that_used_nothing_leaves_no_file(path: Path) -> None:
    KeptReplies(path, MODEL).finish([])
    assert not path.exists()
