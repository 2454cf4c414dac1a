"""Token counts and rendered conversations with the `tokenizers` library and Jinja alone.

Importing transformers takes seconds; a check that must answer in two cannot. What is made here agrees with
`tokenizer.apply_chat_template` and with `kto_recipes.chat_template` by test.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from kto_recipes.doctor.hub import cached_file
from kto_recipes.errors import UserError
from kto_recipes.files import read_json
from kto_recipes.rows import Message
from kto_recipes.templates import recipe_template

# The special tokens of the families that the recipes are for, where no tokenizer is here to say them.
KNOWN_SPECIAL_TOKENS = re.compile(
    r"<\|(?:begin_of_text|end_of_text|start_header_id|end_header_id|eom_id|eot_id|python_tag|finetune_right_pad_id"
    r"|reserved_special_token_\d+"  # Llama 3
    r"|endoftext|im_start|im_end|object_ref_start|object_ref_end|box_start|box_end|quad_start|quad_end"
    r"|vision_start|vision_end|vision_pad|image_pad|video_pad)\|>"  # Qwen2.5
)
_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class RenderError(Exception):
    """A conversation that the template does not render as KTO needs it; the message is a clause."""


@dataclass(frozen=True)
class LocalTokenizer:
    """A tokenizer with the template and special tokens that a recipe gives it.

    `named_tokens` are bos_token, eos_token and the like; `template_text` is None where nobody names a template.
    """

    tokenizer: Tokenizer
    named_tokens: dict[str, str]
    template_text: str | None

    def count(self, text: str) -> int:
        """How many tokens `text` has, control tokens in it included and none added."""
        return len(self.tokenizer.encode(text, add_special_tokens=False).ids)

    @cached_property
    def special_tokens(self) -> re.Pattern[str]:
        """Matches each text that this tokenizer takes for a control token."""
        added = self.tokenizer.get_added_tokens_decoder().values()
        texts = {token.content for token in added if token.special} | set(self.named_tokens.values())
        return re.compile("|".join(re.escape(text) for text in sorted(texts, reverse=True)) or r"(?!)")

    @cached_property
    def adds_bos(self) -> bool:
        """Whether the tokenizer begins every text with bos_token by itself."""
        bos = self.named_tokens.get("bos_token")
        return bos is not None and self.tokenizer.encode("").ids[:1] == [self.tokenizer.token_to_id(bos)]

    def render(self, messages: list[Message], *, add_generation_prompt: bool = False) -> str:
        """The conversation as text.

        Raises:
            RenderError: when the template is not valid or refuses the conversation.
        """
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=add_generation_prompt, **self.named_tokens
            )
        except (TemplateError, TypeError, ValueError) as error:  # a template's own code may raise any of these
            raise RenderError(f"the chat template fails: {error}") from None

    def conversation_tokens(self, messages: list[Message]) -> int:
        return self._count_with_bos(self.render(messages))

    def answer_tokens(self, prompt: list[Message], completion: list[Message]) -> int:
        """The length of a KTO row in tokens, as it is trained on: prompt and completion are tokenized apart.

        Raises:
            RenderError: when a row cannot be cut into prompt and answer, or does not end with one eos_token.
        """
        before = self.render(prompt, add_generation_prompt=True)
        whole = self.render([*prompt, *completion])
        if not whole.startswith(before):
            raise RenderError("the chat template renders a prompt differently when an answer follows it")
        answer, eos = whole[len(before) :], self.named_tokens.get("eos_token")
        if not eos or eos not in answer:
            raise RenderError(f"the chat template does not end an answer with the eos_token {eos!r}")
        bos = self.named_tokens.get("bos_token")
        if bos and before.count(bos) > 1:
            raise RenderError(f"the chat template writes {bos!r} {before.count(bos)} times")
        return self._count_with_bos(before) + self.count(answer[: answer.rindex(eos) + len(eos)])

    def _count_with_bos(self, text: str) -> int:
        is_missing = self.adds_bos and not text.startswith(self.named_tokens["bos_token"])
        return self.count(text) + is_missing

    @cached_property
    def _template(self) -> Template:
        if self.template_text is None:
            raise RenderError("the tokenizer has no chat template; name one in the recipe, as chat_template: llama3")
        return _environment().from_string(self.template_text)


def load_tokenizer(recipe: dict[str, Any]) -> LocalTokenizer | None:
    """The tokenizer of a recipe's base model, where its files are on this machine; None where they are not.

    Raises:
        UserError: for a chat_template that Axolotl does not have, or a file that cannot be read.
    """
    template = recipe_template(recipe)
    name = str(recipe.get("tokenizer_config") or recipe.get("base_model"))
    found = _tokenizer_files(name)
    if "tokenizer.json" not in found:
        return None
    try:
        tokenizer = Tokenizer.from_file(str(found["tokenizer.json"]))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{found['tokenizer.json']}: not a tokenizer ({error})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = read_json(found["tokenizer_config.json"]) if "tokenizer_config.json" in found else {}
    if template is None and "chat_template.jinja" in found:
        template = found["chat_template.jinja"].read_text(encoding="utf-8")
    return LocalTokenizer(
        tokenizer, _named_tokens(config, recipe.get("special_tokens")), template or _own_template(config)
    )


def least_tokens(texts: list[str]) -> int:
    """A number of tokens that `texts` have at least, for Llama 3's and Qwen2.5's tokenizers.

    Both cut a text at white space first and never join what stands on its two sides (the patterns in their
    tokenizer.json), so each word is one token or more. Bytes are split, because there white space is ASCII alone.
    """
    return sum(len(text.encode("utf-8", "surrogatepass").split()) for text in texts)


def _tokenizer_files(name: str) -> dict[str, Path]:
    folder = Path(name)
    if folder.is_dir():
        return {file: folder / file for file in _FILES if (folder / file).is_file()}
    if not _HUB_NAME.fullmatch(name):
        return {}
    try:
        cached = {file: cached_file(name, file) for file in _FILES}
    except ValueError:  # no name that the Hub gives
        return {}
    return {file: path for file, path in cached.items() if path is not None}


def _named_tokens(config: dict[str, Any], special_tokens: Any) -> dict[str, str]:
    """bos_token, eos_token and so on, the recipe's before the tokenizer's own."""
    named = {key: value for key, value in config.items() if key.endswith("_token")}
    named |= special_tokens if isinstance(special_tokens, dict) else {}
    texts = {key: value["content"] if isinstance(value, dict) else value for key, value in named.items()}
    return {key: text for key, text in texts.items() if isinstance(text, str) and text}


def _own_template(config: dict[str, Any]) -> str | None:
    own = config.get("chat_template")
    if isinstance(own, list):  # several, by name
        own = next((entry.get("template") for entry in own if entry.get("name") == "default"), None)
    return own


class _GenerationTag(Extension):
    """{% generation %} marks the answer for training in some templates and writes nothing itself."""

    tags: ClassVar[set[str]] = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    """Jinja as transformers sets it up for chat templates (utils/chat_template_utils.py)."""

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, **{"ensure_ascii": False} | options)
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment
