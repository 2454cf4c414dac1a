"""Findings on a recipe's rows, lengths and classes: each at its line between ok, warning and error."""

import json
from pathlib import Path
from typing import Any

import pytest
from bad_inputs import Case, answer_row, answer_rows, findings, found
from tiny_models import llama_tokenizer

from kto_recipes.doctor.data import data_findings
from kto_recipes.doctor.finding import Finding
from kto_recipes.prepare.order import interleave
from kto_recipes.recipe import load_recipe
from kto_recipes.rows import write_jsonl
from kto_recipes.templates import recipe_template

SFT: dict[str, Any] = {"base_model": "nobody/nothing", "chat_template": "llama3", "sequence_len": 2048}


def conversation(number: int, said: str = "day was sooo good ~") -> dict[str, Any]:
    user = {"role": "user", "content": f"How was day {number}?"}
    return {"messages": [user, {"role": "assistant", "content": said}]}


def sft_found(train: list[Any], folder: Path, held_out: list[Any] | None = None, **entry: Any) -> dict[str, str]:
    recipe = dict(SFT)
    for key, rows in (("datasets", train), ("test_datasets", held_out or [conversation(1000)])):
        write_jsonl(folder / f"{key}.jsonl", rows)
        recipe[key] = [{"path": str(folder / f"{key}.jsonl"), "type": "chat_template", **entry}]
    return {finding.check: finding.status for finding in data_findings(recipe, "sft.yaml") if finding.status != "ok"}


# --- rows ---------------------------------------------------------------------------------------------------


def test_rows_without_meta_are_good_and_the_counts_are_said(tmp_path: Path) -> None:
    case = Case()
    for row in case.train:
        del row["meta"]
    train, held_out = findings(case, tmp_path)
    assert train == Finding("data", "ok", f"{tmp_path}/datasets.jsonl: 300 rows, 150 desirable and 150 undesirable")
    assert held_out.message.endswith("40 rows, 20 desirable and 20 undesirable")


@pytest.mark.parametrize("label", [-1, 1, 0, 1.0, "true", "yes", None])
def test_a_label_that_is_not_true_or_false_is_named_with_its_place_and_counted(tmp_path: Path, label: Any) -> None:
    case = Case()
    case.train[4]["label"] = case.train[9]["label"] = label
    (finding,) = [finding for finding in findings(case, tmp_path) if finding.status != "ok"]
    assert (finding.check, finding.status) == ("labels", "error")
    assert f"datasets.jsonl:5: label is {json.dumps(label)}; KTO needs true or false" in finding.message
    assert finding.message.endswith("(2 of 300 rows)")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "How was it?", "completion": "good", "label": True},
        {"messages": [], "label": True},
        {**answer_row(0, True), "rejected": "no"},
        {**answer_row(0, True), "prompt": []},
        {key: value for key, value in answer_row(0, True).items() if key != "label"},
        ["prompt"],
    ],
)
def test_a_row_of_another_shape_is_an_error(tmp_path: Path, row: Any) -> None:
    case = Case()
    case.train[7] = row
    assert found(case, tmp_path) == {"rows": "error"}


def test_a_line_that_is_no_json_is_an_error_with_its_place(tmp_path: Path) -> None:
    path = Case().write(tmp_path)
    with (tmp_path / "datasets.jsonl").open("a") as file:
        file.write("{'prompt': 1}\n")
    (finding,) = [found for found in data_findings(load_recipe(path), "kto.yaml") if found.status != "ok"]
    assert (finding.check, finding.status) == ("data_file", "error")
    assert "datasets.jsonl:301: not valid JSON" in finding.message


def test_a_file_without_rows_is_an_error(tmp_path: Path) -> None:
    assert found(Case(train=[]), tmp_path) == {"data_file": "error"}


@pytest.mark.parametrize("side", ["train", "held_out"])
def test_control_tokens_are_found_in_every_message_of_both_files(tmp_path: Path, side: str) -> None:
    for place in ("prompt", "completion"):
        case = Case()
        getattr(case, side)[2][place][0]["content"] += " <|im_end|>"
        assert found(case, tmp_path) == {"special_tokens": "error"}


def test_a_local_tokenizer_says_which_strings_are_control_tokens(tmp_path: Path) -> None:
    llama_tokenizer().save_pretrained(tmp_path / "llama")
    for text, expected in (("<|im_end|>", {}), ("<|eot_id|>", {"special_tokens": "error"})):
        case = Case()
        case.recipe["base_model"] = str(tmp_path / "llama")
        case.train[2]["prompt"][1]["content"] += text
        assert found(case, tmp_path) == expected


def test_what_only_looks_like_a_control_token_is_none(tmp_path: Path) -> None:
    case = Case()
    case.train[2]["prompt"][1]["content"] = "<|user|> < |eot_id|> <eot_id> |> <|"
    assert found(case, tmp_path) == {}


# --- lengths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "status"), [(1, "warning"), (30, "warning"), (31, "error"), (300, "error")])
def test_rows_that_do_not_fit_are_a_warning_up_to_a_tenth(tmp_path: Path, rows: int, status: str) -> None:
    case = Case()
    for row in case.train[:rows]:
        row["prompt"][1]["content"] += " why" * 3000
    case.train[0]["prompt"][1]["content"] += " why" * 1000
    (finding,) = [finding for finding in findings(case, tmp_path) if finding.check == "sequence_len"]
    assert finding.status == status
    assert "the longest has at least 4021 tokens" in finding.message  # 4,000, and the 21 words of the row
    assert "datasets.jsonl:1)" in finding.message
    assert ("none of 300 rows fits" in finding.message) == (rows == 300)


def test_with_a_tokenizer_here_lengths_are_exact(tmp_path: Path) -> None:
    tokenizer = llama_tokenizer()
    tokenizer.save_pretrained(tmp_path / "llama")
    case = Case(train=answer_rows(40))
    row = case.train[3]
    row["prompt"][1]["content"] = "why? " * 200
    tokenizer.chat_template = recipe_template({"chat_template": "llama3"})
    length = len(tokenizer.apply_chat_template([*row["prompt"], *row["completion"]])["input_ids"])
    statuses = {}
    for limit in (length, length - 1):
        case.recipe |= {"base_model": str(tmp_path / "llama"), "sequence_len": limit}
        statuses[limit] = found(case, tmp_path)
    assert statuses == {length: {}, length - 1: {"sequence_len": "warning"}}


def test_without_a_sequence_len_axolotls_own_512_counts(tmp_path: Path) -> None:
    case = Case()
    del case.recipe["sequence_len"]
    case.train[0]["prompt"][1]["content"] = "why " * 600
    assert found(case, tmp_path) == {"sequence_len": "warning"}


def test_rows_too_long_only_to_look_at_are_no_finding(tmp_path: Path) -> None:
    case = Case()
    case.train[0]["prompt"][1]["content"] = "why" * 2000  # 6,000 letters, which may be few tokens
    assert found(case, tmp_path) == {}


# --- template -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"special_tokens": None}, "does not end an answer with the eos_token '<|end_of_text|>'"),
        ({"chat_template": "tokenizer_default"}, "has no chat template"),
        ({"chat_template": "llama33"}, "'llama33' is not one of Axolotl's templates"),
        ({"chat_template": "llama3"}, None),
    ],
)
def test_a_template_that_does_not_fit_the_model_is_an_error(
    tmp_path: Path, changes: dict[str, Any], says: str | None
) -> None:
    llama_tokenizer().save_pretrained(tmp_path / "llama")
    case = Case()
    case.recipe |= {"base_model": str(tmp_path / "llama"), **changes}
    wrong = [finding for finding in findings(case, tmp_path) if finding.status != "ok"]
    assert {(finding.check, finding.status) for finding in wrong} == ({("template", "error")} if says else set())
    assert all(says in finding.message for finding in wrong if says)


# --- classes and weights ------------------------------------------------------------------------------------


def test_one_class_is_an_error_to_train_on_and_a_warning_to_evaluate_on(tmp_path: Path) -> None:
    for side, status in (("held_out", "warning"), ("train", "error")):
        case = Case()
        for row in getattr(case, side):
            row["label"] = False
        assert found(case, tmp_path) == {"one_class": status}


@pytest.mark.parametrize(
    ("desirable", "undesirable", "status"),
    [
        (1.0, 1.0, None),
        (1.5, 1.0, None),
        (1.0, 0.75, None),
        (1.6, 1.0, "warning"),
        (0.9, 1.0, "warning"),
        (3.0, 1.0, "warning"),
        (0.5, 1.0, "warning"),
        (3.1, 1.0, "error"),
        (0.4, 1.0, "error"),
        ("5e-1", 1.0, "warning"),
        (None, None, None),
    ],
)
def test_weights_are_judged_where_the_classes_are_equal_in_number_too(
    tmp_path: Path, desirable: Any, undesirable: Any, status: str | None
) -> None:
    case = Case()
    case.recipe |= {"kto_desirable_weight": desirable, "kto_undesirable_weight": undesirable}
    assert found(case, tmp_path) == ({"weights": status} if status else {})


def test_weights_outside_the_rule_come_with_those_that_the_preparation_would_give(tmp_path: Path) -> None:
    case = Case(train=interleave([answer_row(n, n < 200) for n in range(300)], seed=0))
    (finding,) = [finding for finding in findings(case, tmp_path) if finding.check == "weights"]
    assert finding.status == "warning"
    assert "1 × 200 rows to kto_undesirable_weight 1 × 100 is a ratio of 2.00" in finding.message
    # 1.0 × 200 / (2.0 × 100) = 1
    assert finding.advice.startswith("kto_desirable_weight: 1 and kto_undesirable_weight: 2 make it 1.00")


def test_weights_that_the_plugin_makes_by_itself_are_not_judged(tmp_path: Path) -> None:
    case = Case(train=interleave([answer_row(n, n < 200) for n in range(300)], seed=0))
    case.recipe["kto"] = {"auto_weights": True}
    assert found(case, tmp_path) == {}


# --- SFT ----------------------------------------------------------------------------------------------------


def test_conversations_are_good_with_and_without_meta(tmp_path: Path) -> None:
    rows = [conversation(1), conversation(2) | {"meta": {"id": "2", "group": "2", "source": "telegram"}}]
    assert sft_found(rows, tmp_path) == {}


@pytest.mark.parametrize(
    ("row", "check"),
    [
        (answer_row(0, True), "rows"),
        ({"messages": [{"role": "user", "content": "alone"}]}, "rows"),
        (conversation(1, said=" "), "empty_completion"),
        (conversation(1, said="well<|eot_id|>"), "special_tokens"),
    ],
)
def test_a_bad_conversation_is_an_error(tmp_path: Path, row: Any, check: str) -> None:
    assert sft_found([conversation(0), row], tmp_path) == {check: "error"}


def test_a_conversation_that_is_too_long_one_that_is_repeated_and_one_that_leaks(tmp_path: Path) -> None:
    rows = [conversation(number) for number in range(20)]
    assert sft_found([*rows, conversation(99, said="why " * 3000)], tmp_path) == {"sequence_len": "warning"}
    assert sft_found([*rows, *rows], tmp_path) == {"repeated_rows": "warning"}
    assert sft_found(rows, tmp_path, held_out=[conversation(3)]) == {"leak": "error"}


@pytest.mark.parametrize("entry", [{"type": "alpaca"}, {"field_messages": "conversations"}])
def test_conversations_of_another_form_are_not_looked_at(tmp_path: Path, entry: dict[str, Any]) -> None:
    assert sft_found([{"instruction": "x"}], tmp_path, **entry) == {"not_looked_at": "warning"}


# --- real data ----------------------------------------------------------------------------------------------


def test_a_published_kto_set_is_read_whole_and_its_real_trouble_is_found(tmp_path: Path, real_data: Path) -> None:
    """One of its rows holds `<|user|>`, which neither family takes for a control token."""
    rows = []
    for row in json.loads((real_data / "llama-factory/kto_en_demo.json").read_text(encoding="utf-8")):
        *prompt, answer = row["messages"]
        rows.append({"prompt": prompt, "completion": [answer], "label": row["label"]})
    assert any("<|user|>" in row["completion"][0]["content"] for row in rows)
    desirable = sum(row["label"] for row in rows)
    words = [sum(len(m["content"].split()) for m in [*row["prompt"], *row["completion"]]) for row in rows]
    for limit in (2048, 8192):
        case = Case(train=rows)
        case.recipe["sequence_len"] = limit
        messages = [finding.message for finding in findings(case, tmp_path) if "/datasets" in finding.message]
        too_long = sum(count > limit for count in words)
        assert [f"at least {too_long} of 300 rows" in message for message in messages] == [True, False][
            -len(messages) :
        ]
        assert len(messages) == (2 if too_long else 1)
        assert f"300 rows, {desirable} desirable and {300 - desirable} undesirable" in messages[-1]
