"""Counts, repeats, lengths and languages against values worked out by hand."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from answer_rows import row, words, write_rows
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from kto_recipes.errors import UserError
from kto_recipes.inspect_data import lengths, scan
from kto_recipes.inspect_data.inspection import Inspection, inspect_folder
from kto_recipes.inspect_data.languages import TOO_SHORT, languages
from kto_recipes.inspect_data.repeats import Repeated

SYSTEM = {"role": "system", "content": "Be brief."}
LONGER = [
    SYSTEM,
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
]
TRAIN = [
    row("p1", "yes", True),
    row("p1", "no", False),
    row("p2", "yes", True),
    row("p2", "yes", True),  # a duplicate
    row("p3", "maybe", True),
    row("p3", " maybe\n", False),  # a contradiction: the same answer, disliked
    row("p4", "no", False, "template"),
    row(LONGER, "perhaps not", False, "template"),
]
EVAL = [row("p1", "of course", True), row("p1", "no way", False), row("p9", "fine", True)]


def inspected(tmp_path: Path, train: list = TRAIN, held_out: list | None = EVAL, **more: Any) -> Inspection:
    write_rows(tmp_path / "data" / "kto.train.jsonl", train)
    if held_out is not None:
        write_rows(tmp_path / "data" / "kto.eval.jsonl", held_out)
    return inspect_folder(tmp_path / "data", more.get("recipe"))


def checks(inspection: Inspection) -> dict[str, str]:
    return {finding.check: finding.message for finding in inspection.findings}


def test_rows_are_counted_by_split_label_strategy_and_turns(tmp_path: Path) -> None:
    found = inspected(tmp_path)
    assert (found.train.rows, found.train.labels) == (8, {True: 4, False: 4})
    assert (found.held_out.rows, found.held_out.labels) == (3, {True: 2, False: 1})
    assert found.train.strategies == {"template": 2}
    assert found.train.sources == {"votes": 8}
    assert found.train.turns == {True: {1: 4}, False: {1: 3, 2: 1}}
    assert found.train.with_system == 1


def test_repeats_are_counted_by_prompt_answer_and_label(tmp_path: Path) -> None:
    found = inspected(tmp_path).repeats
    assert found.duplicates == 1
    assert (found.contradictions, found.contradictory_rows) == (1, 2)
    assert found.prompts == 5
    assert found.paired_prompts == 2  # p1 and p3
    assert found.completions == [Repeated("yes", 3, 0), Repeated("no", 0, 2), Repeated("maybe", 1, 1)]


def test_a_held_out_prompt_that_is_trained_on_is_a_finding(tmp_path: Path) -> None:
    found = inspected(tmp_path)
    assert found.shared == (1, 2)  # of p1 and p9
    assert checks(found)["leak"] == "1 of 2 held-out prompts is trained on, too"
    assert "leak" not in checks(inspected(tmp_path, held_out=[row("p9", "fine", True)]))


def test_repeats_are_findings_with_their_counts(tmp_path: Path) -> None:
    found = checks(inspected(tmp_path))
    assert found["duplicates"] == "1 row repeats an earlier one in prompt, completion and label"
    assert found["contradictions"] == (
        "1 answer to the same prompt is both desirable and undesirable there (2 of 8 rows)"
    )
    assert found["repeated"] == "the completion “yes” is in 3 of 8 rows"


def test_rows_with_nothing_wrong_have_no_finding(tmp_path: Path) -> None:
    chance = random.Random(0)
    rows = [row(f"p{i}", words(chance), i % 2 == 0) for i in range(100)]
    found = inspected(tmp_path, rows, held_out=None)
    assert found.findings == []
    assert (found.held_out, found.shared) == (None, (0, 0))


def test_good_answers_alone_want_undesirable_ones(tmp_path: Path) -> None:
    write_rows(tmp_path / "positives.train.jsonl", [row("p", "yes", True)])
    found = inspect_folder(tmp_path, None)
    assert checks(found) == {
        "classes": "there are no undesirable answers in positives.train.jsonl; KTO needs both kinds"
    }
    assert found.separations == []


def test_a_folder_without_prepared_rows_says_how_to_prepare_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"prepare it first: make data DATASET={tmp_path.name}"):
        inspect_folder(tmp_path, None)
    with pytest.raises(UserError, match="name a prepared folder"):
        inspect_folder(tmp_path / "absent", None)


def test_a_row_that_is_none_is_refused_with_its_place(tmp_path: Path) -> None:
    write_rows(tmp_path / "kto.train.jsonl", [row("p", "yes", True), row("p", "no", -1)])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"kto\.train\.jsonl:2: label is -1"):
        inspect_folder(tmp_path, None)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "kto.train.jsonl", [])
    with pytest.raises(UserError, match="no rows"):
        inspect_folder(tmp_path, None)


def test_quantiles_interpolate_between_the_neighbours() -> None:
    found = lengths.quantiles([1, 2, 3, 4, 100])
    assert (found.n, found.median, found.mean, found.longest) == (5, 3, 22, 100)
    assert found.low == pytest.approx(1.2)  # 0.05 of the way through four gaps is 0.2
    assert found.high == pytest.approx(80.8)  # 3.8 gaps: 4 + 0.8 × 96
    assert lengths.quantiles([]) is None


def test_without_a_recipe_lengths_are_in_words(tmp_path: Path) -> None:
    found = inspected(tmp_path).lengths
    assert (found.unit, found.too_long) == ("words", None)
    assert sorted(found.answers[False]) == [1, 1, 1, 2]
    assert sorted(found.rows[False]) == [2, 2, 2, 7]  # the longest: Be brief. a b c perhaps not


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe whose tokenizer has one token for each word and each mark that the template writes."""
    folder = tmp_path / "model"
    folder.mkdir()
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "<s>": 1, "</s>": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    turn = (
        "{% for m in messages %}<s> {{ m['content'] }} </s> {% endfor %}{% if add_generation_prompt %}<s> {% endif %}"
    )
    (folder / "chat_template.jinja").write_text(turn)
    made = tmp_path / "recipe"
    made.mkdir()
    (made / "sft.yaml").write_text(f"base_model: {folder}\n")
    (made / "kto.yaml").write_text("base_model: not/yet/merged\nsequence_len: 9\nrl_beta: 0.1\n")
    return made


def test_with_a_recipe_lengths_are_in_its_tokens_with_its_template(tmp_path: Path, recipe: Path) -> None:
    rows = [
        row("u v", "a b c", True),  # <s> u v </s> <s> a b c </s>: 9 tokens, 3 of them the answer
        row("u v", "a b c d", False),  # 10, one more than sequence_len
    ]
    found = inspected(tmp_path, rows, held_out=None, recipe=recipe)
    assert found.lengths.unit == "tokens"
    assert (found.lengths.answers, found.lengths.rows) == ({True: [3], False: [4]}, {True: [9], False: [10]})
    assert found.lengths.too_long == 1
    assert checks(found)["too_long"] == "1 of 2 rows counted is longer than sequence_len 9 and would be dropped"


def test_a_recipe_whose_tokenizer_is_not_here_counts_words(tmp_path: Path, recipe: Path) -> None:
    (recipe / "sft.yaml").write_text("base_model: nobody/knows-this-7B\n")
    assert inspected(tmp_path, recipe=recipe).lengths.unit == "words"


def test_a_histogram_has_the_share_of_each_class_in_a_bin() -> None:
    found = lengths.histogram({True: [0, 1, 1, 29], False: [29, 29]})
    assert found["x"] == [float(i) for i in range(30)]
    assert (found["desirable"][0], found["desirable"][1], found["desirable"][29]) == (0.25, 0.5, 0.25)
    assert found["undesirable"] == [0.0] * 29 + [1.0]
    assert lengths.histogram({True: [], False: []})["desirable"] == [0.0] * 30


def test_one_very_long_answer_stands_in_the_last_bin() -> None:
    found = lengths.histogram({True: [3] * 999 + [10**6], False: []})
    assert found["desirable"][3] == pytest.approx(0.999)
    assert found["desirable"][29] == pytest.approx(0.001)


def test_languages_are_told_by_label_and_short_answers_are_not_guessed() -> None:
    italian = "Non so ancora se verrò stasera, dipende da quando finisco di lavorare."
    english = "I do not know yet whether I can come tonight, it depends on my work."
    rows = [row("p", italian, True), row("p", english, False), row("p", "ok", False)]
    assert languages(rows, seed=0) == {True: {"it": 1}, False: {"en": 1, TOO_SHORT: 1}}


def test_an_answer_without_letters_has_no_language() -> None:
    assert languages([row("p", "🐙" * 40 + "12345", True)], seed=0)[True] == {TOO_SHORT: 1}


def test_a_sample_of_a_large_file_is_drawn_from_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SAMPLE_ROWS", 100)
    write_rows(tmp_path / "kto.train.jsonl", [row(str(i), "yes", True) for i in range(1000)])
    side = scan.scan("train", tmp_path / "kto.train.jsonl", seed=0)
    places = [int(it["prompt"][0]["content"]) for it in side.sample]
    assert (side.rows, len(places), len(set(places))) == (1000, 100, 100)
    # the mean place of 100 of 1,000 is 499.5 with a standard deviation of 27.4
    assert sum(places) / 100 == pytest.approx(499.5, abs=4 * 27.4)
    again = scan.scan("train", tmp_path / "kto.train.jsonl", seed=0)
    assert json.dumps(again.sample) == json.dumps(side.sample)
