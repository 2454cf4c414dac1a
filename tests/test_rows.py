"""The row contract: what is a row, and what a person is told when something is not one."""

import copy
import json
from typing import Any

import pytest

from kto_recipes.errors import UserError
from kto_recipes.rows import (
    check_kto_row,
    check_sft_row,
    completion_text,
    prompt_key,
    read_jsonl,
    read_kto,
    read_sft,
    write_jsonl,
)

KTO: dict[str, Any] = {
    "prompt": [{"role": "system", "content": "You are Nina."}, {"role": "user", "content": "ciao"}],
    "completion": [{"role": "assistant", "content": "ciaooo"}],
    "label": True,
    "meta": {"id": "1:1/1", "group": "1:1", "source": "telegram"},
}
SFT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "ciao"}, {"role": "assistant", "content": "ciaooo"}],
    "meta": {"id": "1:1", "group": "1:1", "source": "telegram"},
}


def changed(row: dict[str, Any], **more: Any) -> dict[str, Any]:
    return copy.deepcopy(row) | more


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_a_good_row_of_each_kind_passes_unchanged():
    assert check_kto_row(copy.deepcopy(KTO), "f:1") == KTO
    assert check_sft_row(copy.deepcopy(SFT), "f:1") == SFT


def test_a_made_negative_says_its_strategy_and_parent():
    meta = KTO["meta"] | {"strategy": "template", "parent": "1:1/1"}
    assert check_kto_row(changed(KTO, label=False, meta=meta), "f:1")["meta"] == meta


def test_meta_may_hold_more_than_it_must():
    assert check_kto_row(changed(KTO, meta=KTO["meta"] | {"lang": "it"}), "f:1")["meta"]["lang"] == "it"


@pytest.mark.parametrize("label", ["yes", "True", "False", 1, 0, -1, 1.0, None, []])
def test_a_label_that_is_not_a_real_boolean_is_refused_and_shown(label):
    with pytest.raises(UserError) as error:
        check_kto_row(changed(KTO, label=label), "votes.jsonl:17")
    assert str(error.value) == f"votes.jsonl:17: label is {json.dumps(label)}; KTO needs true or false"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"completion": []}, "completion must be exactly one assistant message"),
        ({"completion": KTO["completion"] * 2}, "completion must be exactly one assistant message"),
        ({"completion": [user("ciao")]}, "completion must be exactly one assistant message"),
        ({"completion": [{"role": "assistant", "content": " \n"}]}, "the completion is empty"),
        ({"completion": "ciaooo"}, 'completion: input should be a valid list, found "ciaooo"'),
        ({"prompt": []}, "the prompt must end with a user message"),
        ({"prompt": [user("ciao"), KTO["completion"][0]]}, "the prompt must end with a user message"),
        ({"prompt": [user(None)]}, "prompt.0.content: input should be a valid string, found null"),
        ({"prompt": [{"role": "human", "content": "x"}]}, "prompt.0.role:"),
        ({"prompt": [user("x") | {"name": "Ana"}]}, "prompt.0.name:"),
        ({"prompt": [{"role": "user"}]}, "prompt.0.content: field required"),
        ({"meta": {"id": "1", "source": "x"}}, "meta.group: field required"),
        ({"lable": True}, "lable:"),
    ],
)
def test_what_is_not_a_kto_row_is_refused_with_the_place_the_field_and_what_was_found(change, said):
    with pytest.raises(UserError) as error:
        check_kto_row(changed(KTO, **change), "mine.jsonl:3")
    assert str(error.value).startswith(f"mine.jsonl:3: {said}")


@pytest.mark.parametrize("value", [[], "row", None, 3])
def test_what_is_not_an_object_is_not_a_row(value):
    with pytest.raises(UserError) as error:
        check_kto_row(value, "mine.jsonl:3")
    assert str(error.value) == f"mine.jsonl:3: input should be a valid dictionary, found {json.dumps(value)}"


def test_a_missing_field_is_named():
    row = changed(KTO)
    del row["completion"]
    with pytest.raises(UserError, match="f:1: completion: field required"):
        check_kto_row(row, "f:1")


def test_a_conversation_without_a_reply_teaches_nothing_and_is_refused():
    with pytest.raises(UserError, match="f:1: no assistant message to learn from"):
        check_sft_row(changed(SFT, messages=[user("ciao")]), "f:1")


def test_a_long_value_is_shown_only_in_part():
    with pytest.raises(UserError) as error:
        check_kto_row(changed(KTO, label="x" * 10_000), "f:1")
    assert len(str(error.value)) < 200


def test_rows_come_back_from_a_file_as_they_were_written_line_by_line(tmp_path):
    path = tmp_path / "kto.jsonl"
    second = changed(KTO, label=False, completion=[{"role": "assistant", "content": "riga\ndue \u2028 🐙"}])
    assert write_jsonl(path, iter([KTO, second])) == 2
    assert path.read_bytes().count(b"\n") == 2
    assert read_kto(path) == [KTO, second]
    write_jsonl(tmp_path / "sft.jsonl", [SFT])
    assert read_sft(tmp_path / "sft.jsonl") == [SFT]


def test_a_row_that_cannot_be_written_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        write_jsonl(tmp_path / "kto.jsonl", [KTO, {"a": object()}])
    assert list(tmp_path.iterdir()) == []


def test_a_bad_line_is_named_by_file_and_line_and_empty_lines_count(tmp_path):
    path = tmp_path / "kto.jsonl"
    path.write_text(json.dumps(KTO) + "\n\n" + '{"prompt": [\n')
    with pytest.raises(UserError, match=r"kto\.jsonl:3: not valid JSON"):
        read_kto(path)
    path.write_text(json.dumps(KTO) + "\n\n" + json.dumps(changed(KTO, label="no")) + "\n")
    with pytest.raises(UserError, match=r'kto\.jsonl:3: label is "no"'):
        read_kto(path)


def test_a_line_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "kto.jsonl"
    path.write_bytes(b'{"a": "caff\xe8"}\n')
    with pytest.raises(UserError, match=r"kto\.jsonl:1: not valid JSON"):
        list(read_jsonl(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"kto\.jsonl: no such file"):
        read_kto(tmp_path / "kto.jsonl")


def test_rows_answer_the_same_prompt_only_if_every_message_of_it_is_the_same():
    other_answer = changed(KTO, completion=[{"role": "assistant", "content": "no"}], label=False)
    other_system = changed(KTO, prompt=[{"role": "system", "content": "You are Ada."}, KTO["prompt"][1]])
    assert prompt_key(KTO) == prompt_key(other_answer)
    assert prompt_key(KTO) != prompt_key(other_system)
    assert completion_text(KTO) == "ciaooo"
