"""The shapes in which applications send a prompt and an answer to a tracing tool."""

import json
from typing import Any

import pytest
from langfuse_export import CHAT

from kto_recipes.sources.records import ReadOptions
from kto_recipes.sources.shapes import LeaveOut
from kto_recipes.sources.tracing import answer_in, exchange

USER = [{"role": "user", "content": "2+2?"}]


def read(inputs: Any, outputs: Any = "four", **fields: str) -> tuple[list, str]:
    return exchange(inputs, outputs, ReadOptions(fields))


def lc(kind: str, content: str, **more: Any) -> dict:
    """A message as LangChain serialises it."""
    name = ["langchain", "schema", "messages", f"{kind}Message"]
    return {"lc": 1, "type": "constructor", "id": name, "kwargs": {"content": content, "type": kind.lower()} | more}


@pytest.mark.parametrize(
    "inputs",
    [
        CHAT,
        {"messages": CHAT, "temperature": 0},
        json.dumps(CHAT),
        json.dumps({"messages": CHAT}),
        [CHAT],
        {"system": "Be short.", "messages": USER},
        [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "2+2?"}]},
        ],
        [{"type": "system", "content": "Be short."}, {"type": "human", "content": "2+2?"}],
        [{"type": "system", "data": {"content": "Be short."}}, {"type": "human", "data": {"content": "2+2?"}}],
        {"messages": [[lc("System", "Be short."), lc("Human", "2+2?")]]},
        [lc("Chat", "Be short.", role="system"), lc("Human", "2+2?")],
    ],
)
def test_a_conversation_can_have_many_shapes(inputs):
    assert read(inputs) == (CHAT, "four")


@pytest.mark.parametrize(
    "inputs",
    [
        "2+2?",
        {"question": "2+2?"},
        {"input": "2+2?"},
        {"prompt": "2+2?"},
        {"prompts": ["2+2?"]},
        {"input": USER},
        USER[0],
    ],
)
def test_a_question_alone_is_a_user_turn(inputs):
    assert read(inputs) == (USER, "four")


def test_a_prompt_that_only_looks_like_json_stays_as_it_was_sent():
    assert read("[2, 2] sum?")[0] == [{"role": "user", "content": "[2, 2] sum?"}]
    assert read('{"numbers": [2, 2]}')[0] == [{"role": "user", "content": '{"numbers": [2, 2]}'}]


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ("four", "four"),
        ({"role": "assistant", "content": "four"}, "four"),
        (json.dumps({"role": "assistant", "content": "four"}), "four"),
        ([{"role": "assistant", "content": "four"}], "four"),
        ({"role": "assistant", "content": [{"type": "text", "text": "four"}]}, "four"),
        ({"choices": [{"message": {"role": "assistant", "content": "four"}}]}, "four"),
        ({"choices": [{"text": "four", "index": 0}]}, "four"),
        ({"generations": [[{"text": "4", "type": "ChatGeneration", "message": lc("AI", "four")}]]}, "four"),
        ({"lc": 1, "type": "constructor", "id": ["schema", "AIMessageChunk"], "kwargs": {"content": "four"}}, "four"),
        ({"generations": [[{"text": "four", "type": "Generation"}]]}, "four"),
        ({"output": "four"}, "four"),
        ({"answer": "four", "sources": ["x"]}, "four"),
        ('{"sum": 4}', '{"sum": 4}'),  # the model was asked for JSON
        ('{"answer": "four"}', '{"answer": "four"}'),
        ('["four"]', '["four"]'),
        ("{not json", "{not json"),
        ("4", "4"),
        (" four\n", " four\n"),
    ],
)
def test_an_answer_can_have_many_shapes_and_one_that_is_json_on_purpose_stays_json(outputs, text):
    assert read(USER, outputs) == (USER, text)


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        (None, "x", "no text"),
        (USER, None, "no text"),
        ({"weather": "sunny"}, "x", "no text"),
        (USER, {"embedding": [1, 2]}, "no text"),
        (USER, [], "no text"),
        (USER, [{"role": "user", "content": "x"}], "no reply"),
        (USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}, "tool calls"),
        (USER, lc("AI", "", additional_kwargs={"tool_calls": [{"id": "c"}]}), "tool calls"),
        ([*USER, {"role": "tool", "content": "y"}], "x", "tool calls"),
        ([*USER, lc("Tool", "y")], "x", "tool calls"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "x", "content that is not text"),
        ({"question": "x", "chat_history": "Human: a\nAI: b"}, "x", "history that is not messages"),
    ],
)
def test_a_call_that_is_no_plain_exchange_is_left_out_with_its_reason(inputs, outputs, reason):
    with pytest.raises(LeaveOut, match=f"^{reason}$"):
        read(inputs, outputs)


@pytest.mark.parametrize("name", ["chat_history", "history"])
def test_the_turns_that_an_application_keeps_apart_stand_above_the_question(name):
    earlier = [{"type": "human", "content": "a"}, {"type": "ai", "content": "b"}]
    prompt, _ = read({"question": "2+2?", name: earlier})
    assert prompt == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, *USER]


def test_a_graph_that_hands_back_the_whole_thread_has_its_start_in_the_prompt():
    start = [{"type": "human", "content": "hello"}, {"type": "ai", "content": "hi"}]
    asked, said = {"type": "human", "content": "2+2?"}, {"type": "ai", "content": "four"}
    prompt, answer = read({"messages": [asked]}, {"messages": [*start, asked, said]})
    assert prompt == [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}, *USER]
    assert answer == "four"


@pytest.mark.parametrize("as_text", [False, True])
def test_the_places_of_question_and_answer_can_be_named(as_text):
    inputs, outputs = {"q": "2+2?", "rules": "Be short.", "lang": "en"}, {"a": "four", "output": "4"}
    if as_text:
        inputs, outputs = json.dumps(inputs), json.dumps(outputs)
    assert read(inputs, outputs, prompt="q", system="rules", completion="a") == (CHAT, "four")
    with pytest.raises(LeaveOut, match=r"^no text$"):
        read(inputs, outputs, prompt="question", completion="a")


@pytest.mark.parametrize("value", [None, "", " ", {}, {"score": 1}, [], {"role": "user", "content": "x"}])
def test_what_holds_no_answer_is_none(value):
    assert answer_in(value) is None
