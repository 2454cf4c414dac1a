"""What a tracing tool keeps of a model's call, as a prompt and an answer, in whatever shape the application sent it."""

from typing import Any

from kto_recipes.rows import Message
from kto_recipes.sources.json_text import loads
from kto_recipes.sources.records import ReadOptions
from kto_recipes.sources.shapes import LeaveOut, messages_of

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant"}  # LangChain's and Google's names
_KNOWN_ROLES = {*_ROLES, "system", "developer", "user", "assistant", "tool", "function"}
_PROMPTS = ("messages", "input", "prompt", "prompts", "question", "query")
_ANSWERS = ("choices", "generations", "message", "messages", "output", "answer", "response", "completion", "text")
_HISTORIES = ("chat_history", "history")
_WRAPPED = 8  # lists and objects around a conversation, at most


def exchange(inputs: Any, outputs: Any, options: ReadOptions) -> tuple[list[Message], str]:
    """The prompt and the answer in a call's inputs and outputs.

    `fields` may name the entries that hold them: prompt and system in an object of inputs, completion in one of
    outputs. Where the outputs are a whole conversation that the inputs are the end of, its start is prompt as well.

    Raises:
        LeaveOut: when there is no text in them, or tools or pictures were used.
    """
    asked = _conversation(_entry(inputs, options, "prompt"), _PROMPTS, "user")
    said = _conversation(_entry(outputs, options, "completion"), _ANSWERS, "assistant")
    if asked is None or said is None:
        raise LeaveOut("no text")
    prompt, answer = messages_of(_history(inputs) + asked, _system(inputs, options)), messages_of(said)
    if not answer or answer[-1]["role"] != "assistant":
        raise LeaveOut("no reply")
    whole = answer[:-1]
    if len(whole) > len(prompt) and whole[len(whole) - len(prompt) :] == prompt:
        prompt = whole
    return prompt, answer[-1]["content"]


def answer_in(value: Any) -> str | None:
    """The text of an answer; none where there is none in it."""
    try:
        text = exchange([{"role": "user", "content": "?"}], value, ReadOptions())[1]
        return text if text.strip() else None
    except (LeaveOut, ValueError):
        return None


def _history(inputs: Any) -> list:
    """The turns before the question, where an application keeps them apart from it."""
    inputs = _from_json(inputs, any_object=True)
    earlier = [inputs[name] for name in _HISTORIES if inputs.get(name)] if isinstance(inputs, dict) else []
    if not earlier:
        return []
    turns = None if isinstance(earlier[0], str) else _conversation(earlier[0], (), "user")
    if turns is None:
        raise LeaveOut("history that is not messages")
    return turns


def _entry(value: Any, options: ReadOptions, name: str) -> Any:
    """What `fields` names, or the whole value."""
    if name not in options.fields:
        return value
    value = _from_json(value, any_object=True)
    return value.get(options.fields[name]) if isinstance(value, dict) else None


def _system(inputs: Any, options: ReadOptions) -> str | None:
    """A system prompt that stands beside the messages."""
    inputs = _from_json(inputs, any_object=True)
    system = inputs.get(options.fields.get("system", "system")) if isinstance(inputs, dict) else None
    return system if isinstance(system, str) and system.strip() else None


def _conversation(value: Any, names: tuple[str, ...], role: str) -> list | None:
    """`value` as a list of role and content, a text as one message of `role`; none where there is no text in it."""
    value = _from_json(value)
    for _ in range(_WRAPPED):
        if isinstance(value, str):
            return [{"role": role, "content": value}]
        if (message := _message(value)) is not None:
            return [message]
        if isinstance(value, list):
            messages = [_message(item) for item in value]
            if value and None not in messages:
                return messages
            value = value[0] if len(value) == 1 else None
        elif isinstance(value, dict):
            value = next((value[name] for name in names if value.get(name) is not None), None)
    return None


def _message(value: Any) -> dict | None:
    """A message as OpenAI, Anthropic or LangChain writes it, with role and content; none where it is not one."""
    if not isinstance(value, dict):
        return None
    role = value.get("role", value.get("type"))
    body = value
    for inner in ("kwargs", "data"):  # LangChain's serialised messages: of a class, or of a type
        if isinstance(value.get(inner), dict) and "content" in value[inner]:
            body = value[inner]
            role = body.get("role", _class(value) if inner == "kwargs" else role)
    if not isinstance(role, str) or role.lower() not in _KNOWN_ROLES or not body.keys() & _CONTENT:
        return None
    more = body.get("additional_kwargs") if isinstance(body.get("additional_kwargs"), dict) else {}
    called = [source.get(name) for source in (body, more) for name in ("tool_calls", "function_call")]
    role = _ROLES.get(role.lower(), role.lower())
    return {"role": role, "content": body.get("content"), "tool_calls": next(filter(None, called), None)}


_CONTENT = {"content", "tool_calls", "function_call"}


def _class(value: dict) -> str | None:
    """HumanMessage, AIMessageChunk, … → human, ai, …"""
    names = value.get("id")
    name = names[-1] if isinstance(names, list) and names and isinstance(names[-1], str) else ""
    return name.removesuffix("Chunk").removesuffix("Message").lower()


def _from_json(value: Any, any_object: bool = False) -> Any:
    """A text that is JSON as what it holds, if that is a conversation: an answer may be JSON on purpose."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        found = loads(value.encode())
    except ValueError:
        return value
    if any_object or _message(found) is not None:
        return found
    if isinstance(found, dict):
        return found if found.keys() & {"messages", "choices", "generations"} else value
    return found if isinstance(found, list) and found and all(_message(item) is not None for item in found) else value
