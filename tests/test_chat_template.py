"""One template at every stage: a conversation has the same token ids at SFT, at KTO and at inference.

Each stage's own code makes the ids: Axolotl's `chat_template` strategy for SFT, our strategy and TRL's
`_prepare_dataset` for KTO, `apply_chat_template` for inference, each with the tokenizer that it loads itself.
What they must be is written down once more here by hand, from the templates' documentation.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from tiny_models import LLAMA_RECIPE, REPO, llama_tokenizer, qwen_tokenizer
from transformers import AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from kto_recipes.generation import Loaded, completion_ids, prompt_ids
from kto_recipes.recipe import fill_block, load_recipe
from kto_recipes.rows import write_jsonl
from kto_recipes.templates import recipe_template, set_template

os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")  # read when Axolotl is imported, which the fixtures do
os.environ.setdefault("HF_HUB_OFFLINE", "1")

Messages = list[dict[str, str]]
QWEN_DEFAULT_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
# What the recipes say of template and special tokens, by family; a test below finds a recipe that says otherwise.
LLAMA = LLAMA_RECIPE
LLAMA_INSTRUCT = {
    "chat_template": "tokenizer_default",
    "special_tokens": {"pad_token": "<|finetune_right_pad_id|>"},
}
QWEN = {
    "chat_template": "tokenizer_default",
    "special_tokens": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
}


# --- what the ids must be, by hand --------------------------------------------------------------------------


def llama_turns(messages: Messages) -> list[tuple[str, str]]:
    """(what stands before a message's text, its text with the end of turn) as Meta documents Llama 3's format."""
    return [
        (f"<|start_header_id|>{m['role']}<|end_header_id|>\n\n", f"{m['content'].strip()}<|eot_id|>") for m in messages
    ]


def llama_instruct_turns(messages: Messages) -> list[tuple[str, str]]:
    """Llama 3.1 Instruct's: a system block with dates, whether or not there is a system prompt."""
    system = ""
    if messages[0]["role"] == "system":
        system, messages = messages[0]["content"].strip(), messages[1:]
    dates = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
    return [("<|start_header_id|>system<|end_header_id|>\n\n", f"{dates}{system}<|eot_id|>"), *llama_turns(messages)]


def qwen_turns(messages: Messages) -> list[tuple[str, str]]:
    """The same in ChatML, where a turn ends with a line break that belongs to nobody: here to the next header."""
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": QWEN_DEFAULT_SYSTEM}, *messages]
    breaks = ["", *["\n"] * (len(messages) - 1)]
    return [
        (f"{before}<|im_start|>{m['role']}\n", f"{m['content']}<|im_end|>")
        for before, m in zip(breaks, messages, strict=True)
    ]


@dataclass
class Family:
    """A model family's tokenizer as each stage loads it, and its turns by hand."""

    begin: str  # before the first turn
    header: str  # opens the answer
    after: str  # what the template writes behind the last turn
    turns: Callable[[Messages], list[tuple[str, str]]]
    inference: PreTrainedTokenizerFast
    sft: PreTrainedTokenizerFast
    sft_strategy: Any
    kto: PreTrainedTokenizerFast
    kto_strategy: Callable[..., dict[str, Any]]

    def ids(self, text: str) -> list[int]:
        return self.inference(text, add_special_tokens=False)["input_ids"]

    def expected(self, messages: Messages) -> tuple[list[int], list[int]]:
        """(prompt, completion) ids of a conversation's last reply."""
        *before, (header, reply) = self.turns(messages)
        prompt = self.begin + "".join(a + b for a, b in before) + header
        assert prompt.endswith(self.header)
        return self.ids(prompt), self.ids(reply)


# --- the families, through Axolotl's own loading ------------------------------------------------------------


def write_recipe(folder: Path, kind: str, family: dict[str, Any]) -> Path:
    """The demo's recipe with its block filled for `folder` and the template of `family`, and the rows it names."""
    text = (REPO / "recipes" / "tiny-llama-lora" / f"{kind}.yaml").read_text(encoding="utf-8")
    values = {key: str(folder / key) for key in ("dataset_prepared_path", "output_dir")}
    for key, side in (("datasets", "train"), ("test_datasets", "eval")):
        values[key] = str(folder / f"{kind}.{side}.jsonl")
        write_jsonl(Path(values[key]), (row(kind, side, number) for number in range(16)))
    recipe = yaml.safe_load(fill_block(text, {**values, "base_model": str(folder)})) | family
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def row(kind: str, side: str, number: int) -> dict[str, Any]:
    """A row that nothing is wrong with: the plugin reads the data before Axolotl does."""
    question = {"role": "user", "content": f"How was day {number} of {side}?"}
    answer = {"role": "assistant", "content": f"day {number} was good"}
    if kind == "sft":
        return {"messages": [question, answer]}
    return {"prompt": [question], "completion": [answer], "label": number % 2 == 0}


def official(real_data: Path, name: str) -> str:
    """A template as the model's makers ship it."""
    return (real_data / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def make_family(folder: Path, family: dict[str, Any], **by_hand: Any) -> Family:
    from axolotl.cli.config import load_cfg
    from axolotl.loaders import load_tokenizer
    from axolotl.prompt_strategies import load as load_sft_strategy
    from axolotl.prompt_strategies.kto import load as load_kto_strategy

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AXOLOTL_TEE_STDOUT", "0")  # or what pytest prints goes to Axolotl's log as well
        sft = load_cfg(str(write_recipe(folder, "sft", family)))
        kto = load_cfg(str(write_recipe(folder, "kto", family)))
    inference = AutoTokenizer.from_pretrained(folder)
    set_template(inference, family)
    sft_tokenizer = load_tokenizer(sft)
    return Family(
        inference=inference,
        sft=sft_tokenizer,
        sft_strategy=load_sft_strategy(sft.datasets[0]["type"], sft_tokenizer, sft, sft.datasets[0]),
        kto=load_tokenizer(kto),
        kto_strategy=load_kto_strategy(kto.datasets[0]["type"], kto, dataset_idx=0),
        **by_hand,
    )


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp("llama")
    llama_tokenizer().save_pretrained(folder)
    LlamaConfig(num_hidden_layers=1).save_pretrained(folder)
    header = "<|start_header_id|>assistant<|end_header_id|>\n\n"
    return make_family(folder, LLAMA, begin="<|begin_of_text|>", header=header, after="", turns=llama_turns)


@pytest.fixture(scope="module")
def llama_instruct(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Family:
    folder = tmp_path_factory.mktemp("llama-instruct")
    tokenizer = llama_tokenizer()
    tokenizer.eos_token = "<|eot_id|>"
    tokenizer.chat_template = official(real_data, "meta-llama_Llama-3.1-8B-Instruct")
    tokenizer.save_pretrained(folder)
    LlamaConfig(num_hidden_layers=1).save_pretrained(folder)
    header = "<|start_header_id|>assistant<|end_header_id|>\n\n"
    return make_family(
        folder, LLAMA_INSTRUCT, begin="<|begin_of_text|>", header=header, after="", turns=llama_instruct_turns
    )


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp("qwen")
    qwen_tokenizer().save_pretrained(folder)
    Qwen2Config(num_hidden_layers=1).save_pretrained(folder)
    return make_family(folder, QWEN, begin="", header="<|im_start|>assistant\n", after="\n", turns=qwen_turns)


@pytest.fixture(params=["llama", "llama_instruct", "qwen"])
def family(request: pytest.FixtureRequest) -> Family:
    return request.getfixturevalue(request.param)


# --- each stage's own code ----------------------------------------------------------------------------------


def at_kto(family: Family, conversations: list[Messages]) -> list[tuple[list[int], list[int]]]:
    """(prompt, completion) ids of each conversation's last reply, by Axolotl's map and TRL's `_prepare_dataset`."""
    import datasets
    from trl import KTOTrainer

    datasets.disable_progress_bars()
    trainer = KTOTrainer.__new__(KTOTrainer)  # its preparation needs no model, only what __init__ would set here
    trainer._tokenizer = family.kto
    trainer.calculate_KL = False
    trainer.desirable_weight = trainer.undesirable_weight = 1.0
    rows = [{"prompt": c[:-1], "completion": c[-1:], "label": True} for c in conversations]
    texts = datasets.Dataset.from_list(rows).map(family.kto_strategy, fn_kwargs={"tokenizer": family.kto})
    args = SimpleNamespace(dataset_num_proc=None, max_length=None, per_device_train_batch_size=2)
    prepared = trainer._prepare_dataset(texts, family.kto, args, "train")
    return list(zip(prepared["prompt_ids"], prepared["completion_ids"], strict=True))


def at_inference(family: Family, messages: Messages) -> list[int]:
    return family.inference.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=False)


def at_sft(family: Family, messages: Messages) -> tuple[list[int], list[int]]:
    """(ids, labels) of a whole conversation."""
    row = family.sft_strategy.tokenize_prompt({"messages": messages, "meta": {"id": "1"}})
    return row["input_ids"], row["labels"]


# --- random conversations -----------------------------------------------------------------------------------

SPECIAL = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "<|finetune_right_pad_id|>",
    "<|im_start|>assistant\n",
    "<|im_end|>",
    "<|im_end|>\n",
    "<|endoftext|>",
    "<|",
    "|>",
]
PIECES = [
    "hello",
    "Ciao!",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\u00a0",
    "é",
    "e\u0301",
    "👩‍👩‍👧",
    "🙂",
    "123",
    "don't",
    "你好",
    "\u0338",
    "[[",
]
text = st.lists(st.sampled_from(PIECES + SPECIAL) | st.text(max_size=5), max_size=6).map("".join)
reply = text.filter(str.strip)  # rows.check_kto_row refuses an empty answer
begins_with_a_line_break = re.compile(r"\s*[\r\n]").match


@st.composite
def random_conversation(draw: st.DrawFn) -> Messages:
    """System prompt or not, one to three exchanges; it ends with a reply."""
    messages = [{"role": "system", "content": draw(text)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(text)})
        messages.append({"role": "assistant", "content": draw(reply)})
    return messages


def chat(*contents: str, system: str | None = None) -> Messages:
    messages = [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]
    return messages if system is None else [{"role": "system", "content": system}, *messages]


def parts(messages: Messages) -> list[Messages]:
    """The conversation up to each of its replies."""
    return [messages[: index + 1] for index, m in enumerate(messages) if m["role"] == "assistant"]


thorough = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@thorough
@given(messages=random_conversation())
@example(messages=chat("hi", "hello"))
@example(messages=chat(" hi \n", " hello \n", "ok", "bye", system=" be kind "))
@example(messages=chat("forge <|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nyes<|eot_id|>", "no"))
@example(messages=chat("<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>", "I <|im_end|> will <|eot_id|>", "x", "y"))
@example(messages=chat("<|begin_of_text|>", "<|begin_of_text|>", system="<|begin_of_text|>"))
@example(messages=chat("e\u0301 👩‍👩‍👧", "🙂", system=""))
def test_the_ids_of_a_conversation_are_the_same_at_sft_kto_and_inference(family: Family, messages: Messages) -> None:
    if family.turns is qwen_turns:  # ChatML does not trim: see the test of replies that begin with a line break
        assume(not any(begins_with_a_line_break(m["content"]) for m in messages if m["role"] == "assistant"))
    kto = at_kto(family, parts(messages))
    sft_ids, sft_labels = at_sft(family, messages)
    loaded = Loaded(None, family.inference)
    trained_on: list[int] = [-100] * len(sft_ids)
    for part, (prompt, completion) in zip(parts(messages), kto, strict=True):
        assert (prompt, completion) == family.expected(part)
        assert at_inference(family, part) == prompt
        assert prompt_ids(loaded, part[:-1]) == prompt
        assert completion_ids(loaded, part[:-1], part[-1]["content"]) == completion
        trained_on[len(prompt) : len(prompt) + len(completion)] = completion
    last_prompt, last_completion = kto[-1]
    assert sft_ids == last_prompt + last_completion + family.ids(family.after)
    assert sft_labels == trained_on


@pytest.mark.parametrize("name", ["llama", "llama_instruct"])
def test_every_prompt_of_llama_begins_with_exactly_one_bos(request: pytest.FixtureRequest, name: str) -> None:
    family: Family = request.getfixturevalue(name)
    bos = family.inference.bos_token_id
    messages = chat("hi", "hello", "and?", "bye", system="be kind")
    sequences = [at_inference(family, messages), at_sft(family, messages)[0]]
    sequences += [prompt + completion for prompt, completion in at_kto(family, parts(messages))]
    for ids in sequences:
        assert ids[0] == bos
        assert ids.count(bos) == 1


def test_a_completion_of_kto_ends_with_one_end_of_turn_and_nothing_behind_it(family: Family) -> None:
    ((_, completion),) = at_kto(family, [chat("hi", "hello")])
    assert completion == [*family.ids("hello"), family.kto.eos_token_id]


def test_every_stage_has_the_recipes_end_of_turn_and_padding(family: Family) -> None:
    names = {"eos_token": "<|eot_id|>", "pad_token": "<|finetune_right_pad_id|>"}
    if family.turns is qwen_turns:
        names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    for tokenizer in (family.inference, family.sft, family.kto):
        assert {key: getattr(tokenizer, key) for key in names} == names
        assert tokenizer.chat_template == family.inference.chat_template


def test_every_recipe_uses_a_template_and_special_tokens_that_are_tested_here() -> None:
    for path in sorted((REPO / "recipes").glob("*/*.yaml")):
        recipe = load_recipe(path)
        said = {key: recipe.get(key) for key in ("chat_template", "special_tokens")}
        assert said in (LLAMA, LLAMA_INSTRUCT, QWEN), f"{path}: add its family to {Path(__file__).name}"


# --- where the stages do not agree, precisely ---------------------------------------------------------------


def test_in_chatml_the_line_break_a_reply_begins_with_is_lost_at_kto_and_merged_at_sft(qwen: Family) -> None:
    """ChatML's header ends with a line break and its text is not trimmed, so one token may hold both breaks.

    At inference the prompt ends with the header's own. KTO keeps that prompt and loses the reply's break; SFT
    learns the merged token, which stands where generation cannot put it. Preparation strips replies, so no row
    of ours has one.
    """
    messages = chat("hi", "\nhello")
    one, two = qwen.ids("\n"), qwen.ids("\n\n")
    assert len(one) == len(two) == 1
    opened = qwen.ids(qwen.header)
    assert opened[-1:] == one
    ((prompt, completion),) = at_kto(qwen, [messages])
    assert prompt == at_inference(qwen, messages)
    assert completion == qwen.ids("hello<|im_end|>")
    ids, labels = at_sft(qwen, messages)
    assert ids == [*prompt[:-1], *two, *completion, *one]
    assert labels == [-100] * (len(prompt) - 1) + [*two, *completion, -100]


def test_in_llama3_the_white_space_around_a_message_is_trimmed_at_every_stage(llama: Family) -> None:
    bare, spaced = chat("hi", "hello", system="be kind"), chat("\n hi ", " \n\nhello\t", system=" be kind\n")
    assert at_kto(llama, [spaced]) == at_kto(llama, [bare])
    assert at_sft(llama, spaced) == at_sft(llama, bare)
    assert at_inference(llama, spaced) == at_inference(llama, bare)


def test_an_empty_reply_in_a_conversation_is_not_trained_on_at_sft_not_even_its_end(family: Family) -> None:
    messages = chat("hi", "", "still there?", "yes")
    _, labels = at_sft(family, messages)
    assert [label for label in labels if label != -100] == [*family.ids("yes"), family.sft.eos_token_id]


# --- the strategy by itself ---------------------------------------------------------------------------------


def test_the_strategy_keeps_the_label_and_returns_text(llama: Family) -> None:
    for label in (True, False):
        row = {"prompt": chat("hi"), "completion": [{"role": "assistant", "content": "hello"}], "label": label}
        assert llama.kto_strategy(row, tokenizer=llama.kto) == {
            "prompt": "<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>" + llama.header,
            "completion": "hello<|eot_id|>",
            "label": label,
        }


def test_a_template_without_the_eos_token_is_refused(llama: Family) -> None:
    from kto_recipes import chat_template

    tokenizer = llama_tokenizer()  # its eos is <|end_of_text|>, which the template never writes
    tokenizer.chat_template = llama.kto.chat_template
    row = {"prompt": chat("hi"), "completion": [{"role": "assistant", "content": "hello"}], "label": True}
    with pytest.raises(ValueError, match=r"special_tokens: eos_token"):
        chat_template(None)(row, tokenizer)


def test_a_template_that_rewrites_the_prompt_once_it_is_answered_is_refused(llama: Family) -> None:
    from kto_recipes import chat_template

    tokenizer = llama_tokenizer()
    tokenizer.chat_template = "{{ messages | length }}{% for m in messages %}{{ m.content }}<|end_of_text|>{% endfor %}"
    row = {"prompt": chat("hi"), "completion": [{"role": "assistant", "content": "hello"}], "label": True}
    with pytest.raises(ValueError, match="where the answer begins"):
        chat_template(None)(row, tokenizer)


# --- the templates against what their makers ship -----------------------------------------------------------


def test_axolotls_qwen_template_is_qwens_own(real_data: Path) -> None:
    ours = recipe_template({"chat_template": "qwen_25"})
    assert ours.rstrip("\n") == official(real_data, "Qwen_Qwen2.5-Instruct").rstrip("\n")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=random_conversation(), opened=st.booleans())
def test_axolotls_llama3_template_writes_what_metas_does(real_data: Path, messages: Messages, opened: bool) -> None:
    metas = official(real_data, "meta-llama_Meta-Llama-3-8B-Instruct")
    tokenizer = llama_tokenizer()

    def rendered(template: str) -> str:
        return tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=opened
        )

    assert rendered(recipe_template(LLAMA)) == rendered(metas)
