"""Training sets without votes: OpenAI's messages, ShareGPT, Alpaca; what is learned of each and what is left out."""

import json

import pytest
from training_rows import answers, conversations, counts, reasons, records, turns

from kto_recipes.errors import UserError
from kto_recipes.sources import alpaca, openai_messages, sharegpt
from kto_recipes.sources.records import LeftOut, ReadOptions


def message(role: str, content: object, **more: object) -> dict[str, object]:
    return {"role": role, "content": content, **more}


def said(speaker: str, value: object) -> dict[str, object]:
    return {"from": speaker, "value": value}


# --- OpenAI messages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["system", "developer"])
def test_messages_become_a_dialogue_and_the_developer_is_the_system(tmp_path, role):
    row = {"messages": [message(role, "Be brief."), message("user", "2+2?"), message("assistant", "4")]}
    (found,) = conversations(records(openai_messages, tmp_path, row))
    assert found == turns("2+2?", "4", system="Be brief.")


def test_parts_of_text_follow_each_other_and_other_parts_leave_the_row_out(tmp_path):
    text = [{"type": "text", "text": "2+2"}, {"type": "text", "text": "?"}]
    picture = [{"type": "image_url", "image_url": {"url": "x"}}, *text]
    (found,) = conversations(
        records(openai_messages, tmp_path, {"messages": [message("user", text), message("assistant", "4")]})
    )
    assert found == turns("2+2?", "4")
    row = {"messages": [message("user", picture), message("assistant", "4")]}
    assert reasons(records(openai_messages, tmp_path, row)) == ["content that is not text"]


@pytest.mark.parametrize(
    "middle",
    [
        [message("assistant", None, tool_calls=[{"id": "1", "type": "function"}]), message("tool", "4")],
        [message("assistant", None, function_call={"name": "add"}), message("function", "4", name="add")],
    ],
)
def test_a_row_with_tool_calls_is_left_out(tmp_path, middle):
    row = {"messages": [message("user", "2+2?"), *middle, message("assistant", "4")], "tools": []}
    assert reasons(records(openai_messages, tmp_path, row)) == ["tool calls"]


def test_a_null_answer_is_empty_and_a_null_tool_call_none(tmp_path):
    rows = [{"messages": [message("user", "hi"), message("assistant", text, tool_calls=None)]} for text in ("yo", None)]
    assert counts(records(openai_messages, tmp_path, *rows)) == {"dialogue": 1, "empty answer": 1}


@pytest.mark.parametrize("weight", [{"weight": 0}, {"weight": 0.0}, {"loss_weight": 0.0}])
def test_a_dialogue_ends_before_its_first_reply_of_weight_0_and_the_rest_is_counted(tmp_path, weight):
    first, second = message("assistant", "b", weight=1), message("assistant", "d", **weight)
    last = [message("user", "e"), message("assistant", "f", weight=1)]
    rest, dialogue = records(
        openai_messages, tmp_path, {"messages": [message("user", "a"), first, message("user", "c"), second, *last]}
    )
    assert (rest.reason, dialogue.messages) == ("weight 0", turns("a", "b"))


def test_nothing_is_learned_of_a_dialogue_whose_first_reply_has_weight_0(tmp_path):
    row = {"messages": [message("user", "a"), message("assistant", "b", weight=0)], "system": "s"}
    assert reasons(records(openai_messages, tmp_path, row)) == ["weight 0"]


def test_a_weight_of_null_or_of_a_users_turn_says_nothing(tmp_path):
    row = {"messages": [message("user", "a", weight=0), message("assistant", "b", weight=None)]}
    assert conversations(records(openai_messages, tmp_path, row)) == [turns("a", "b")]


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ("su a", "dialogue"),
        ("au a", "dialogue"),
        ("ua u", "dialogue"),
        ("uu a", "broken role order"),
        ("ua a", "broken role order"),
        ("us a", "broken role order"),
        ("ss ua", "broken role order"),
        ("u", "no reply"),
        ("s", "no reply"),
        ("a", "no reply"),
        ("", "no reply"),
    ],
)
def test_users_and_the_assistant_take_turns_below_one_system_message(tmp_path, roles, expected):
    names = {"s": "system", "u": "user", "a": "assistant"}
    row = {"messages": [message(names[role], f"text {role}") for role in roles.replace(" ", "")]}
    assert counts(records(openai_messages, tmp_path, row)) == {expected: 1}


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ([message("narrator", "once")], r"rows\.jsonl:1: a message's role is 'narrator'; known are system"),
        ([message(["user"], "hi")], r"role is"),
        ([message("user", 7)], r"rows\.jsonl:1: a message's content is a number"),
        (["hi"], r"expected a message with a role, found text"),
        ([message("user", [7])], r"a part of a message's content is a number"),
        ([message("user", [{"type": ["text"], "text": "x"}])], None),
    ],
)
def test_messages_of_another_shape_are_reported_with_their_place(tmp_path, messages, sentence):
    row = {"messages": [*messages, message("assistant", "yes")]}
    if sentence is None:
        assert reasons(records(openai_messages, tmp_path, row)) == ["content that is not text"]
        return
    with pytest.raises(UserError, match=sentence):
        records(openai_messages, tmp_path, row)
    found = records(openai_messages, tmp_path, row, on_trouble=lambda sentence: None)
    assert found == [LeftOut("unreadable", f"{tmp_path}/rows.jsonl:1")]


# --- ShareGPT -----------------------------------------------------------------------------------------------


def test_sharegpt_speakers_become_roles_and_a_system_column_comes_first(tmp_path):
    rows = [
        {"conversations": [said("human", "hi"), said("gpt", "yo")], "system": "s"},
        {"conversations": [said("system", "own"), said("user", "hi"), said("chatgpt", "yo")], "system": "s"},
        {"conversations": [said("human", "hi"), said("assistant", "yo")], "system": "", "tools": "[]"},
    ]
    expected = [turns("hi", "yo", system="s"), turns("hi", "yo", system="own"), turns("hi", "yo")]
    assert conversations(records(sharegpt, tmp_path, *rows)) == expected


def test_what_gpt_says_first_and_the_human_last_is_cut(tmp_path):
    speakers = [
        said("system", "s"),
        said("gpt", "welcome"),
        said("human", "hi"),
        said("gpt", "yo"),
        said("human", "bye"),
    ]
    assert conversations(records(sharegpt, tmp_path, {"conversations": speakers})) == [turns("hi", "yo", system="s")]


@pytest.mark.parametrize("speaker", ["function_call", "observation", "tool"])
def test_sharegpt_tool_turns_are_left_out(tmp_path, speaker):
    row = {"conversations": [said("human", "hi"), said(speaker, "{}"), said("gpt", "yo")]}
    assert reasons(records(sharegpt, tmp_path, row)) == ["tool calls"]


def test_conversations_that_begin_with_the_same_words_belong_together(tmp_path):
    rows = [{"conversations": [said("human", first), said("gpt", last)]} for first, last in ("ab", "ac", "de")]
    first, second, third = (record.conversation for record in records(sharegpt, tmp_path, *rows))
    assert first == second != third


# --- Alpaca -------------------------------------------------------------------------------------------------


def test_the_alpaca_prompt_is_the_instruction_and_the_input_below_it_where_there_is_one(tmp_path):
    rows = [
        {"instruction": "Translate.", "input": "ciao", "output": "hi"},
        {"instruction": "Say hi.", "input": "", "output": "hi"},
        {"instruction": "Say hi.", "output": "hi", "system": "s"},
    ]
    expected = [turns("Translate.\nciao", "hi"), turns("Say hi.", "hi"), turns("Say hi.", "hi", system="s")]
    assert conversations(records(alpaca, tmp_path, *rows)) == expected


def test_alpaca_history_comes_before_the_instruction(tmp_path):
    row = {"instruction": "e", "input": "", "output": "f", "history": [["a", "b"], ["c", "d"]], "system": "s"}
    assert conversations(records(alpaca, tmp_path, row)) == [turns(*"abcdef", system="s")]


def test_alpaca_with_a_label_is_rated_and_with_chosen_and_rejected_a_pair(tmp_path):
    rated = {"instruction": "2+2?", "input": "", "output": "5", "kto_tag": False}
    pair = {"instruction": "2+2?", "input": "", "chosen": "4", "rejected": "5"}
    assert answers(records(alpaca, tmp_path, rated)) == [(turns("2+2?"), "5", False)]
    assert answers(records(alpaca, tmp_path, pair)) == [(turns("2+2?"), "4", True), (turns("2+2?"), "5", False)]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"instruction": None}, "instruction is null; expected text"),
        ({"output": 5}, "output is a number; expected text"),
        ({"input": ["a"]}, "input is a list; expected text"),
        ({"history": ["ab"]}, "history must be a list of"),
        ({"history": 1}, "history must be a list of"),
        ({"history": [["a", None]]}, "history is null; expected text"),
    ],
)
def test_an_alpaca_column_of_another_kind_is_named(tmp_path, changed, sentence):
    with pytest.raises(UserError, match=rf"rows\.jsonl:1: {sentence}"):
        records(alpaca, tmp_path, {"instruction": "a", "input": "", "output": "b"} | changed)


# --- the file as a whole ------------------------------------------------------------------------------------


def test_a_row_of_another_shape_is_reported_with_what_was_found_and_expected(tmp_path):
    rows = [{"messages": turns("a", "b")}, {"instruction": "a", "output": "b"}]
    sentence = (
        r"rows\.jsonl:2: a row of another shape: found the columns instruction, output; expected a column messages"
    )
    with pytest.raises(UserError, match=sentence):
        records(openai_messages, tmp_path, *rows)
    assert counts(records(openai_messages, tmp_path, *rows, on_trouble=lambda _: None)) == {
        "dialogue": 1,
        "unreadable": 1,
    }


def test_a_file_of_another_format_is_refused_even_where_trouble_is_skipped(tmp_path):
    with pytest.raises(UserError, match=r"rows\.jsonl:1: found the columns a, b; expected a column conversations"):
        records(sharegpt, tmp_path, {"a": 1, "b": 2}, on_trouble=lambda _: None)


def test_a_json_array_is_read_as_well_as_json_lines(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(
        json.dumps([{"conversations": [said("human", "hi"), said("gpt", "yo")]}], indent=2), encoding="utf-8"
    )
    assert sharegpt.looks_like(b"", path)
    assert conversations(list(sharegpt.read(path, ReadOptions()))) == [turns("hi", "yo")]
