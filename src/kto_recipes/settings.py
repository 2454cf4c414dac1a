"""`dataset.yaml`: where a dataset comes from and how it is prepared. The only thing read when it is."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kto_recipes.errors import UserError
from kto_recipes.prepare.clean import UnicodeForm
from kto_recipes.prepare.redact import Kind
from kto_recipes.recipe.text import load_mapping


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Turns(_Settings):
    """How single messages become turns and conversations."""

    conversation_gap_hours: float = Field(6, gt=0)  # a longer silence starts a new conversation
    max_turns: int = Field(16, ge=2)  # a longer conversation is cut after a reply; bounds a row's length
    max_history_turns: int = Field(8, ge=1)  # turns before a reply that its KTO prompt holds


class Split(_Settings):
    eval_fraction: float = Field(0.1, gt=0, lt=1)
    eval_at_most: int | None = Field(2000, ge=1)  # answers; each of them costs GPU time at every evaluation
    seed: int = 0


class Clean(_Settings):
    """What is done to every text, and which rows are left out for it."""

    max_chars: int = Field(100_000, ge=1)  # a row with more characters, prompt and answer together, is left out
    unicode: UnicodeForm = "NFC"
    redact: list[Kind] = []
    phone_region: str | None = Field(None, pattern="^[A-Z]{2}$")  # none: only numbers that begin with + are found
    near_duplicates: float | None = Field(None, gt=0, lt=1)  # Jaccard similarity from which a row is left out


class Endpoint(_Settings):
    """An OpenAI-compatible server: vLLM's, Ollama's, llama.cpp's, or somebody else's."""

    url: str = Field(pattern="^https?://")  # up to /v1
    model: str  # as the server names it
    key_variable: str = "OPENAI_API_KEY"  # the environment variable that holds the key; a local server needs none
    concurrency: int = Field(8, ge=1)  # requests under way at once
    timeout_s: float = Field(120, gt=0)  # for one answer
    retries: int = Field(5, ge=0)  # of one request, each after a longer pause


class BaseSample(_Settings):
    """Replies sampled from the model before SFT."""

    strategy: Literal["base_sample"]
    share: float = Field(gt=0, le=1)
    # Of several values each is used in turn.
    temperature: Annotated[float, Field(gt=0)] | list[Annotated[float, Field(gt=0)]] = 1.0
    top_p: float = Field(0.95, gt=0, le=1)
    top_k: int = Field(0, ge=0)  # 0: no limit
    max_new_tokens: int = Field(64, ge=1)
    samples_per_prompt: int = Field(1, ge=1)  # more: fewer prompts, each answered so often
    endpoint: Endpoint | None = None  # none: the run's base model, through Transformers


CorruptWay = Literal["shuffle_words", "remove_tone", "formalise", "drop_sentence", "repeat_sentence"]


class Corrupt(_Settings):
    """The good reply itself, damaged."""

    strategy: Literal["corrupt"]
    share: float = Field(gt=0, le=1)
    strength: float = Field(0.5, gt=0, le=1)  # the part of the words, marks or sentences that is touched
    ways: list[CorruptWay] = Field(list(get_args(CorruptWay)), min_length=1)  # one is drawn for each reply


ContaminateSource = Literal["other_prompt", "other_speaker", "stock"]


class Contaminate(_Settings):
    """A real reply to another prompt, plausible and wrong."""

    strategy: Literal["contaminate"]
    share: float = Field(gt=0, le=1)
    # The same person's reply to a similar prompt, what somebody else said after something similar, or a stock
    # phrase. Of several each is used in turn.
    sources: list[ContaminateSource] = Field(["other_prompt", "other_speaker"], min_length=1)
    nearest: int = Field(10, ge=1)  # one of so many that are nearest is drawn


class Paraphrase(_Settings):
    """The good reply made longer, neutral and over-professional."""

    strategy: Literal["paraphrase"]
    share: float = Field(gt=0, le=1)
    model: str | None = None  # a folder or a Hub name of an instruct model; with no endpoint either, by rules
    endpoint: Endpoint | None = None
    temperature: float = Field(0.7, gt=0)
    max_new_tokens: int = Field(256, ge=1)

    @model_validator(mode="after")
    def _has_one_writer(self) -> Self:
        if self.model is not None and self.endpoint is not None:
            raise ValueError("names a model and an endpoint; keep one")
        return self


class Template(_Settings):
    """Stock formal answers with a slot filled from the prompt."""

    strategy: Literal["template"]
    share: float = Field(gt=0, le=1)


class Gate(_Settings):
    """What keeps a made answer from being used."""

    nearly_equal: float = Field(0.9, gt=0, le=1)  # to a good answer to its prompt: similarity from which it is refused
    language: bool = True  # refused where it is surely of another language than the good answer


FieldName = Literal["system", "prompt", "completion", "label", "chosen", "rejected", "conversation", "rater", "time"]
Strategy = Annotated[BaseSample | Corrupt | Contaminate | Paraphrase | Template, Field(discriminator="strategy")]


class Negatives(_Settings):
    per_positive: float = Field(1.0, gt=0)  # undesirable answers for each desirable one
    seed: int = 0
    match_length: bool = False  # of more answers made, those that are as long as the good ones
    gate: Gate = Gate()
    strategies: list[Strategy] = Field(min_length=1)


class DatasetSettings(_Settings):
    source: str  # a path, relative to the folder of dataset.yaml
    format: str | None = None  # none: found by content
    chat: str | None = None  # of an account's export, the chat to read: its name or id
    persona: str | None = None  # of a chat, whose replies are learned: a display name or an id
    system_prompt: str = "You are {persona}, chatting with {other}. Respond naturally in their conversational style."
    date_order: Literal["dmy", "mdy", "ymd"] | None = None  # of a chat whose dates can be read in two ways
    reactions: dict[str, bool] | None = None  # of a chat, emoji that are votes: true for a good reply
    fields: dict[FieldName, str] = {}  # of votes and training sets: our name → the file's
    label_map: dict[str, bool] = {}
    threshold: float | None = None  # a rating of at least this is desirable
    raters: Literal["majority", "latest", "unanimous"] = "majority"
    contradictions: Literal["drop", "majority", "latest"] = "drop"
    on_error: Literal["stop", "skip"] = "stop"
    clean: Clean = Clean()
    turns: Turns = Turns()
    split: Split = Split()
    negatives: Negatives | None = None

    @field_validator("label_map", mode="before")
    @classmethod
    def _has_keys_as_they_stand_in_the_file(cls, value: Any) -> Any:
        """Numbers as keys are taken for text; yes, no, on and off without quotes are already lost."""
        if not isinstance(value, dict):
            return value
        if any(isinstance(key, bool) for key in value):
            raise ValueError("put each label in quotes: YAML takes yes, no, on, off, true and false for something else")
        return {str(key): label for key, label in value.items()}

    @field_validator("system_prompt")
    @classmethod
    def _has_known_slots_only(cls, value: str) -> str:
        try:
            value.format(persona="", other="")
        except (AttributeError, LookupError, ValueError):
            raise ValueError("only {persona} and {other} may stand in braces") from None
        return value


def load_settings(path: Path) -> DatasetSettings:
    """Read a `dataset.yaml`.

    Raises:
        UserError: naming the file, the key and what is wrong with it.
    """
    if not path.is_file():
        known = sorted(p.parent.name for p in path.parent.parent.glob("*/dataset.yaml"))
        raise UserError(f"{path}: no such file; the datasets here are: {', '.join(known) or 'none'}")
    value = load_mapping(path, "source: and persona:")
    try:
        settings = DatasetSettings.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{path}: {_sentence(error.errors()[0])}") from None
    _check_shares(settings, path)
    return settings


def _check_shares(settings: DatasetSettings, path: Path) -> None:
    if settings.negatives is not None:
        total = sum(strategy.share for strategy in settings.negatives.strategies)
        if abs(total - 1) > 1e-6:
            raise UserError(f"{path}: the shares under negatives.strategies add up to {total:g}; they must make 1")


def _sentence(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        key = str(error["loc"][-1])
        known = {name for model in _Settings.__subclasses__() for name in model.model_fields}
        near = difflib.get_close_matches(key, known, n=1)
        return f"{place}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
    if error["type"] == "missing":
        return f"{place}: this setting is missing"
    return f"{place}: {error['msg'].removeprefix('Value error, ')}, found {error['input']!r}"
