"""The Modelfile: its Go template makes the prompts of training.

Go itself is not run here; what of it the template uses is said in Jinja.
"""

import re

import jinja2
import pytest
from tiny_models import qwen_tokenizer, trained_tokenizer

from kto_recipes.errors import UserError
from kto_recipes.use.ollama import modelfile, ollama_template

S, U, A = ({"role": role} for role in ("system", "user", "assistant"))
CONVERSATIONS = [
    [U | {"content": "ciao"}],
    [S | {"content": "You are Nina."}, U | {"content": "ciao"}],
    [
        S | {"content": "Sé gentile\n\nsempre 😶‍🌫️"},
        U | {"content": "a {{ .x }}"},
        A | {"content": "b"},
        U | {"content": "c"},
    ],
    [U | {"content": "<|eot_id|> <|im_end|>"}, A | {"content": "b"}, U | {"content": 'c """'}],
]


def go(template: str, messages: list[dict[str, str]]) -> str:
    """What Go's text/template writes (https://pkg.go.dev/text/template): its few actions said in Jinja, one by one."""
    said = {
        "range .Messages": "{% for m in messages %}",
        "if not .System": "{% if not system %}",
        "else": "{% else %}",
        ".Content": "{{ m.content }}",
    }
    text, open_blocks = "", []
    for place, part in enumerate(re.split(r"\{\{ (.*?) \}\}", template)):
        if place % 2 == 0:
            text += "{% raw %}" + part + "{% endraw %}"
        elif part == "end":
            text += {"range": "{% endfor %}", "if": "{% endif %}"}[open_blocks.pop()]
        else:
            if part.split()[0] in ("range", "if"):
                open_blocks.append(part.split()[0])
            role = re.fullmatch(r'(else )?if eq \.Role "(\w+)"', part)
            text += f"{{% {'elif' if role[1] else 'if'} m.role == '{role[2]}' %}}" if role else said[part]
    assert open_blocks == []
    system = any(message["role"] == "system" for message in messages)
    return jinja2.Environment(keep_trailing_newline=True).from_string(text).render(messages=messages, system=system)


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=["bare", "system", "turns", "control strings"])
@pytest.mark.parametrize("tokenizer", [trained_tokenizer(), qwen_tokenizer()], ids=["llama3", "chatml"])
def test_the_go_template_makes_the_prompt_of_training(tokenizer, conversation: list[dict[str, str]]) -> None:
    expected = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    # llama.cpp puts Llama's BOS before a prompt itself
    assert go(ollama_template(tokenizer).go(), conversation) == expected.removeprefix("<|begin_of_text|>")


def test_qwen_s_default_system_prompt_is_said_where_there_is_none() -> None:
    text = go(ollama_template(qwen_tokenizer()).go(), [U | {"content": "ciao"}])
    assert text.startswith("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud.")


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}[{{ m.content }}]{% if loop.index > 2 %}later{% endif %}{% endfor %}",
        "{{ messages[-1].content }}",
        "{% for m in messages %}{{ m.content | upper }}|{% endfor %}",
        "{% for m in messages %}{{ '{{ ' + m.role + m.content }}\n{% endfor %}",
    ],
    ids=["counts", "forgets", "changes", "go in it"],
)
def test_a_template_that_go_cannot_say_so_is_refused(template: str) -> None:
    tokenizer = trained_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(UserError, match="cannot be said as an Ollama template"):
        ollama_template(tokenizer)


def test_the_modelfile_names_the_file_the_template_the_system_prompt_and_the_stops() -> None:
    template = ollama_template(trained_tokenizer())
    text, notes = modelfile("kto.gguf", template, 'You are "Nina".', ["<|end_of_text|>", "<|eot_id|>"])
    first, _, rest = text.partition("\n")
    assert first == "FROM ./kto.gguf"
    assert rest.startswith(f'TEMPLATE """{template.go()}"""\n')
    assert 'SYSTEM """You are "Nina"."""\n' in rest
    assert rest.endswith('PARAMETER stop "<|end_of_text|>"\nPARAMETER stop "<|eot_id|>"\n')
    assert notes == []


def test_a_system_prompt_that_would_end_its_own_quotes_is_left_out_and_said() -> None:
    text, notes = modelfile("kto.gguf", ollama_template(trained_tokenizer()), 'a """\nPARAMETER stop "e"\nb', [])
    assert "SYSTEM" not in text and "PARAMETER" not in text
    assert "left out" in notes[0]


def test_without_a_system_prompt_there_is_no_such_line() -> None:
    assert "SYSTEM" not in modelfile("kto.gguf", ollama_template(trained_tokenizer()), None, [])[0]
