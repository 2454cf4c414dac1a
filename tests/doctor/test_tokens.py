"""Tokens counted and conversations rendered without transformers, as transformers and our KTO strategy do it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import LLAMA_RECIPE, llama_tokenizer, qwen_tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from kto_recipes import chat_template
from kto_recipes.doctor.tokens import KNOWN_SPECIAL_TOKENS, LocalTokenizer, RenderError, least_tokens, load_tokenizer
from kto_recipes.errors import UserError
from kto_recipes.templates import set_template

Messages = list[dict[str, str]]
QWEN_RECIPE: dict[str, Any] = {
    "chat_template": "tokenizer_default",
    "special_tokens": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
}
PROMPTS: dict[str, Messages] = {
    "one turn": [{"role": "user", "content": "How was it?"}],
    "a system prompt": [
        {"role": "system", "content": "You are Nina."},
        {"role": "user", "content": "  ciao  "},
    ],
    "several turns": [
        {"role": "system", "content": "You are Nina."},
        {"role": "user", "content": "già fatto? 🐙"},
        {"role": "assistant", "content": "sìììì\n\n~"},
        {"role": "user", "content": "\nok {{ x }} <b>&amp;</b>"},
    ],
}
ANSWER: Messages = [{"role": "assistant", "content": "noooo\nnever 日本 ~ "}]
every_prompt = pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)


@pytest.fixture(scope="module", params=["llama", "qwen"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalTokenizer, Any]:
    """A family's tokenizer as this module reads it, and as transformers does."""
    recipe = LLAMA_RECIPE if request.param == "llama" else QWEN_RECIPE
    folder = tmp_path_factory.mktemp(request.param)
    (llama_tokenizer() if request.param == "llama" else qwen_tokenizer()).save_pretrained(folder)
    theirs = AutoTokenizer.from_pretrained(folder)
    set_template(theirs, recipe)
    ours = load_tokenizer({**recipe, "base_model": str(folder)})
    assert ours is not None
    return ours, theirs


@every_prompt
def test_a_conversation_is_rendered_and_counted_as_transformers_does(
    both: tuple[LocalTokenizer, PreTrainedTokenizerBase], prompt: Messages
) -> None:
    ours, theirs = both
    assert ours.render(prompt, add_generation_prompt=True) == theirs.apply_chat_template(
        prompt, tokenize=False, add_generation_prompt=True
    )
    whole = [*prompt, *ANSWER]
    assert ours.conversation_tokens(whole) == len(theirs.apply_chat_template(whole)["input_ids"])


@every_prompt
def test_an_answer_is_counted_as_the_kto_strategy_and_the_tokenizer_give_it(
    both: tuple[LocalTokenizer, PreTrainedTokenizerBase], prompt: Messages
) -> None:
    ours, theirs = both
    row = chat_template(None)({"prompt": prompt, "completion": ANSWER, "label": True}, tokenizer=theirs)
    before = theirs(row["prompt"])["input_ids"]  # with the token that the tokenizer begins a text with, if any
    answer = theirs(row["completion"], add_special_tokens=False)["input_ids"]
    assert ours.answer_tokens(prompt, ANSWER) == len(before) + len(answer)


def test_the_official_templates_are_rendered_as_transformers_does(real_data: Path) -> None:
    templates = sorted((real_data / "templates").glob("*.jinja"))
    assert templates
    theirs = llama_tokenizer()
    for template in templates:
        text = template.read_text(encoding="utf-8")
        ours = LocalTokenizer(
            theirs.backend_tokenizer, {"bos_token": theirs.bos_token, "eos_token": "<|eot_id|>"}, text
        )
        for prompt in PROMPTS.values():
            expected = theirs.apply_chat_template(
                prompt, chat_template=text, tokenize=False, add_generation_prompt=True
            )
            assert ours.render(prompt, add_generation_prompt=True) == expected


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60))
def test_a_text_has_at_least_as_many_tokens_as_words(both: tuple[LocalTokenizer, Any], text: str) -> None:
    assert least_tokens([text]) <= both[0].count(text)


def test_the_least_number_of_tokens_is_the_number_of_words() -> None:
    assert least_tokens(["how  are\n\nyou?\t", "", "fine"]) == 4


# --- where a tokenizer and its template come from -----------------------------------------------------------


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    llama_tokenizer().save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


def loaded(folder: Path, **recipe: Any) -> LocalTokenizer:
    tokenizer = load_tokenizer({"base_model": str(folder), **recipe})
    assert tokenizer is not None
    return tokenizer


@pytest.mark.parametrize("model", ["outputs/run/sft/merged", "nobody/nothing", "", "a/b/c", "../x"])
def test_where_no_tokenizer_is_on_this_machine_there_is_none(model: str) -> None:
    assert load_tokenizer({"base_model": model}) is None
    assert load_tokenizer({}) is None


def test_a_tokenizer_in_the_hub_cache_is_found(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "cache" / "models--some--model"
    shutil.copytree(llama, repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert load_tokenizer({"base_model": "some/model", **LLAMA_RECIPE}) is not None


def test_the_recipes_special_tokens_go_before_the_tokenizers_own(llama: Path) -> None:
    assert loaded(llama).named_tokens["eos_token"] == "<|end_of_text|>"
    assert loaded(llama, **LLAMA_RECIPE).named_tokens["eos_token"] == "<|eot_id|>"


def test_a_length_that_the_tokenizer_was_saved_with_cuts_nothing(llama: Path) -> None:
    content = json.loads((llama / "tokenizer.json").read_text())
    content["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    (llama / "tokenizer.json").write_text(json.dumps(content))
    assert loaded(llama).count("one two three four five six seven") > 4


@pytest.mark.parametrize("place", ["chat_template.jinja", "a text in the config", "named ones in the config"])
def test_the_tokenizers_own_template_is_found_where_it_may_stand(llama: Path, place: str) -> None:
    own = "own: {{ messages[0].content }}"
    if place == "chat_template.jinja":
        (llama / place).write_text(own)
    else:
        config = json.loads((llama / "tokenizer_config.json").read_text())
        named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": own}]
        config["chat_template"] = own if place == "a text in the config" else named
        (llama / "tokenizer_config.json").write_text(json.dumps(config))
    assert loaded(llama).render(PROMPTS["one turn"]) == "own: How was it?"
    assert loaded(llama, chat_template="llama3").render(PROMPTS["one turn"]).startswith("<|begin_of_text|>")


def test_a_template_that_axolotl_does_not_have_and_a_file_that_is_no_tokenizer_are_named(llama: Path) -> None:
    with pytest.raises(UserError, match="'llama33' is not one of Axolotl's"):
        loaded(llama, chat_template="llama33")
    (llama / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="not a tokenizer"):
        loaded(llama)


# --- rows that a template does not fit ----------------------------------------------------------------------


def with_template(text: str | None, folder: Path, eos: str = "<|eot_id|>") -> LocalTokenizer:
    own = {} if text is None else {"chat_template": "jinja", "chat_template_jinja": text}
    return loaded(folder, special_tokens={"eos_token": eos}, **own)


TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|eot_id|>{% endfor %}"


@pytest.mark.parametrize(
    ("template", "eos", "says"),
    [
        (None, "<|eot_id|>", "has no chat template"),
        (TURNS + "{% if add_generation_prompt %}[assistant]{% endif %}", "<|end_of_text|>", "does not end an answer"),
        (
            TURNS + "{% if add_generation_prompt %}[bot]{% endif %}",
            "<|eot_id|>",
            "renders a prompt differently when an answer follows",
        ),
        (
            "<|begin_of_text|><|begin_of_text|>" + TURNS + "{% if add_generation_prompt %}[assistant]{% endif %}",
            "<|eot_id|>",
            "writes '<|begin_of_text|>' 2 times",
        ),
        ("{{ raise_exception('no system turns') }}", "<|eot_id|>", "no system turns"),
        ("{% if %}", "<|eot_id|>", "the chat template fails"),
        ("{{ messages[0].name.first }}", "<|eot_id|>", "the chat template fails"),
    ],
)
def test_a_row_that_the_template_does_not_fit_is_refused_with_the_reason(
    llama: Path, template: str | None, eos: str, says: str
) -> None:
    with pytest.raises(RenderError, match=says.replace("|", r"\|")):
        with_template(template, llama, eos).answer_tokens(PROMPTS["one turn"], ANSWER)


def test_a_template_may_mark_the_answer_and_use_transformers_own_functions(llama: Path) -> None:
    text = (
        "{% for m in messages %}[{{ m.role }}]{% generation %}{{ m.content | tojson }}{% endgeneration %}<|eot_id|>"
        "{% if loop.last %}{% break %}{% endif %}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
        "{% set year = strftime_now('%Y') %}"
    )
    tokenizer = with_template(text, llama)
    assert tokenizer.render([{"role": "user", "content": "è <b>"}]) == '[user]"è <b>"<|eot_id|>'
    assert tokenizer.answer_tokens(PROMPTS["one turn"], ANSWER) > 0


# --- control tokens -----------------------------------------------------------------------------------------


def test_each_control_token_of_both_families_is_known_without_a_tokenizer() -> None:
    llama = ["begin_of_text", "end_of_text", "eot_id", "eom_id", "start_header_id", "end_header_id", "python_tag"]
    llama += ["finetune_right_pad_id", "reserved_special_token_0", "reserved_special_token_247"]
    for name in [*llama, "endoftext", "im_start", "im_end", "vision_start", "box_end"]:
        assert KNOWN_SPECIAL_TOKENS.search(f"so <|{name}|> it"), name
    for text in ("<|user|>", "<| eot_id|>", "<eot_id>", "im_end", "<|fim_prefix|>"):  # the last writes no turn
        assert not KNOWN_SPECIAL_TOKENS.search(text)


def test_a_tokenizers_control_tokens_are_its_special_ones_whole(both: tuple[LocalTokenizer, Any]) -> None:
    ours, theirs = both
    for text in theirs.all_special_tokens:
        assert ours.special_tokens.fullmatch(text)
    assert ours.special_tokens.search("plain <b>text</b> |>") is None
