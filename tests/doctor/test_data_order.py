"""Findings on the order of rows, which makes micro-batches and mismatched pairs, and on rows that stand there twice."""

import random
from pathlib import Path
from typing import Any

import pytest
from bad_inputs import Case, answer_row, answer_rows, findings, found

# --- order --------------------------------------------------------------------------------------------------


def labelled(*labels: bool) -> Case:
    return Case(train=[answer_row(number, label) for number, label in enumerate(labels)])


def test_micro_batches_of_one_class_are_an_error_from_about_a_half_on(tmp_path: Path) -> None:
    """Of 20 micro-batches of 4 even rows, shuffled, 2 × (1/2)⁴ = 1/8 are of one class; halfway to all is 9/16."""
    one_class, mixed = ([True] * 4, [False] * 4), [True, False, False, True]
    for pairs, expected in ((5, {}), (6, {"order": "error"})):
        labels = [label for _ in range(pairs) for block in one_class for label in block]
        assert found(labelled(*labels, *mixed * (20 - 2 * pairs)), tmp_path) == expected


def test_a_shuffled_file_has_no_such_micro_batches_whatever_their_size_and_the_classes_share(tmp_path: Path) -> None:
    for size in (2, 4, 8):
        for desirable in (150, 200, 240):
            labels = [number < desirable for number in range(300)]
            random.Random(1).shuffle(labels)
            case = labelled(*labels)
            case.recipe |= {"micro_batch_size": size, "eval_batch_size": size}
            assert "order" not in found(case, tmp_path)


def test_a_minority_of_less_than_a_fifth_cannot_be_in_most_micro_batches(tmp_path: Path) -> None:
    for undesirable, expected in ((59, False), (60, True)):
        case = labelled(*[True] * (300 - undesirable), *[False] * undesirable)
        assert ("order" in found(case, tmp_path)) == expected


def test_rows_dropped_for_their_length_are_in_no_micro_batch(tmp_path: Path) -> None:
    """Two rows at the head set the blocks off by two; Axolotl drops long rows before TRL makes its blocks."""
    case = labelled(True, False, *[label for _ in range(8) for label in [True] * 4 + [False] * 4])
    assert "order" not in found(case, tmp_path)
    for row in case.train[:2]:
        row["prompt"][1]["content"] = "why " * 3000
    assert found(case, tmp_path)["order"] == "error"


def test_a_file_that_axolotl_shuffles_is_in_no_order(tmp_path: Path) -> None:
    case = Case()
    case.train.sort(key=lambda row: row["label"])
    case.recipe["shuffle_merged_datasets"] = True
    assert found(case, tmp_path) == {}


def test_a_sorted_held_out_file_is_none_of_trainings_business(tmp_path: Path) -> None:
    case = Case()
    case.held_out.sort(key=lambda row: row["label"])
    assert found(case, tmp_path) == {}


@pytest.mark.parametrize(("pairs", "status"), [(0, None), (1, "warning"), (15, "warning"), (16, "error")])
def test_equal_answers_side_by_side_are_a_warning_up_to_a_tenth_of_the_rows(
    tmp_path: Path, pairs: int, status: str | None
) -> None:
    """One of a pair's two rows meets the other; in micro-batches of two both do: 15 pairs are 30 of 300 rows."""
    case = Case()
    case.recipe |= {"micro_batch_size": 2, "eval_batch_size": 2}
    for pair in range(pairs):
        case.train[2 * pair + 1]["completion"] = case.train[2 * pair]["completion"]
    assert found(case, tmp_path) == ({"duplicates": status} if status else {})


@pytest.mark.parametrize(("pairs", "status"), [(1, "warning"), (15, "warning"), (16, "error")])
def test_answers_to_one_prompt_side_by_side_are_a_warning_up_to_a_tenth_of_the_rows(
    tmp_path: Path, pairs: int, status: str
) -> None:
    case = Case()
    case.recipe |= {"micro_batch_size": 2, "eval_batch_size": 2}
    for pair in range(pairs):
        case.train[2 * pair + 1]["prompt"] = case.train[2 * pair]["prompt"]
    assert found(case, tmp_path) == {"neighbours": status}


def test_the_first_row_of_a_micro_batch_meets_the_last_and_not_the_one_before(tmp_path: Path) -> None:
    for one, other, expected in ((4, 7, {"duplicates": "warning"}), (3, 4, {}), (4, 6, {})):
        case = Case()
        case.train[other]["completion"] = case.train[one]["completion"]
        assert found(case, tmp_path) == expected


def test_equal_answers_are_only_a_warning_to_evaluate_on(tmp_path: Path) -> None:
    case = Case()
    for row in case.held_out:
        row["completion"][0]["content"] = "yes"
    assert found(case, tmp_path) == {"duplicates": "warning"}


def test_a_loss_without_mismatched_pairs_has_none_that_match(tmp_path: Path) -> None:
    case = Case(train=answer_rows(301))
    for number, row in enumerate(case.train):
        row["completion"][0]["content"] = f"yes {number // 8}"
    case.recipe["kto"] = {"loss_type": "apo_zero_unpaired"}
    assert "duplicates" not in found(case, tmp_path)
    del case.recipe["kto"]
    assert found(case, tmp_path)["duplicates"] == "error"


@pytest.mark.parametrize(("rows", "alone"), [(300, False), (301, True), (302, False), (303, False)])
def test_a_last_micro_batch_of_one_row_is_a_warning(tmp_path: Path, rows: int, alone: bool) -> None:
    case = Case(train=[answer_row(number, number % 2 == 0) for number in range(rows)])
    if rows == 303:
        case.train[5]["prompt"][1]["content"] = "why " * 3000  # dropped: 302 are left
    checks = set(found(case, tmp_path)) - {"sequence_len"}
    assert checks - {"weights"} == ({"last_micro_batch"} if alone else set())


# --- the same twice -----------------------------------------------------------------------------------------


def repeated(copies: int, rows: int) -> list[dict[str, Any]]:
    return [row for _ in range(copies) for row in answer_rows(rows)]


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (answer_rows(270) + answer_rows(30), {}),
        (answer_rows(260) + answer_rows(40), {"repeated_rows": "warning"}),
        (repeated(2, 150), {"repeated_rows": "warning"}),
        (repeated(3, 100), {"repeated_rows": "error"}),
    ],
)
def test_repeated_rows_are_a_warning_from_a_tenth_and_an_error_from_a_half(
    tmp_path: Path, train: list[Any], expected: dict[str, str]
) -> None:
    assert found(Case(train=train), tmp_path) == expected


def test_an_answer_with_both_labels_is_counted(tmp_path: Path) -> None:
    case = Case()
    for number in (0, 2, 4):  # desirable; its copy, far away, is not
        other = case.train[number + 201]
        other["prompt"], other["completion"] = case.train[number]["prompt"], case.train[number]["completion"]
    (finding,) = [finding for finding in findings(case, tmp_path) if finding.status != "ok"]
    assert (finding.check, finding.status) == ("both_labels", "warning")
    assert ": 3 answers" in finding.message


def test_a_prompt_on_both_sides_of_the_split_is_an_error_whatever_the_answer(tmp_path: Path) -> None:
    case = Case()
    case.held_out[3]["prompt"] = case.train[7]["prompt"]
    case.held_out[4]["prompt"] = case.train[7]["prompt"]
    (finding,) = [finding for finding in findings(case, tmp_path) if finding.check == "leak"]
    assert finding.status == "error"
    assert ": 1 of 39 prompts" in finding.message
