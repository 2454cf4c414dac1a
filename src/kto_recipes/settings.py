"""`dataset.yaml`: where a dataset comes from and how it is prepared. The only thing read when it is."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kto_recipes.errors import UserError


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Turns(_Settings):
    """How single messages become turns and conversations."""

    conversation_gap_hours: float = Field(6, gt=0)  # a longer silence starts a new conversation
    max_turns: int = Field(16, ge=2)  # a longer conversation is cut after a reply; bounds a row's length
    max_history_turns: int = Field(8, ge=1)  # turns before a reply that its KTO prompt holds


class Split(_Settings):
    eval_fraction: float = Field(0.1, gt=0, lt=1)
    seed: int = 0


class BaseSample(_Settings):
    """Replies sampled from the model before SFT."""

    strategy: Literal["base_sample"]
    share: float = Field(gt=0, le=1)
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(0.95, gt=0, le=1)
    top_k: int = Field(0, ge=0)  # 0: no limit
    max_new_tokens: int = Field(64, ge=1)


class Template(_Settings):
    """Stock formal answers with a slot filled from the prompt."""

    strategy: Literal["template"]
    share: float = Field(gt=0, le=1)


Strategy = Annotated[BaseSample | Template, Field(discriminator="strategy")]


class Negatives(_Settings):
    per_positive: float = Field(1.0, gt=0)  # undesirable answers for each desirable one
    seed: int = 0
    strategies: list[Strategy] = Field(min_length=1)


class DatasetSettings(_Settings):
    source: str  # a path, relative to the folder of dataset.yaml
    format: str | None = None  # none: found by content
    chat: str | None = None  # of an account's export, the chat to read: its name or id
    persona: str  # whose replies are learned: a display name or an id
    system_prompt: str = "You are {persona}, chatting with {other}. Respond naturally in their conversational style."
    turns: Turns = Turns()
    split: Split = Split()
    negatives: Negatives | None = None

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
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date that there is not
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected keys such as source: and persona:, found {type(value).__name__}")
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
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        key = str(error["loc"][-1])
        known = {name for model in _Settings.__subclasses__() for name in model.model_fields}
        near = difflib.get_close_matches(key, known, n=1)
        return f"{place}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
    if error["type"] == "missing":
        return f"{place}: this setting is missing"
    return f"{place}: {error['msg'].removeprefix('Value error, ')}, found {error['input']!r}"
