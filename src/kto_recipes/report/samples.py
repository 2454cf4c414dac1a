"""Held-out conversations, laid out for reading side by side."""

from typing import Any

from kto_recipes.report.metrics import stage_names

SHOWN_TURNS = 4  # of a prompt; the turns before them are folded away, unless that would hide a single one


def sample_view(sample: dict[str, Any]) -> dict[str, Any]:
    """One line of samples.jsonl: its prompt in three parts, then one column of answers for each model."""
    prompt = sample.get("prompt") or []
    turns = [message for message in prompt if message.get("role") != "system"]
    folded = len(turns) - SHOWN_TURNS if len(turns) > SHOWN_TURNS + 1 else 0
    models = sample.get("models") or {}
    columns = [{"title": "In the data", "answers": _given(sample.get("reference")), "more": []}]
    columns += [_column(name, models[key] or {}) for key, name in stage_names(models).items()]
    return {
        "id": sample.get("id"),
        "system": [message.get("content") for message in prompt if message.get("role") == "system"],
        "earlier": turns[:folded],
        "recent": turns[folded:],
        "columns": columns,
    }


def _given(reference: str | None) -> list[tuple[str, str]]:
    return [] if reference is None else [("", reference)]


def _column(name: str, model: dict[str, Any]) -> dict[str, Any]:
    """A model's greedy answer and its first sample; the samples after that are `more`."""
    sampled = model.get("sampled") or []
    greedy = [("greedy", model["greedy"])] if model.get("greedy") is not None else []
    return {
        "title": name[0].upper() + name[1:],
        "answers": greedy + [("sampled", text) for text in sampled[:1]],
        "more": sampled[1:],
    }
