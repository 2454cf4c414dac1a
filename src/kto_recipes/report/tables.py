"""Manifests and versions as readable tables."""

import re
from typing import Any

from kto_recipes.report.metrics import NONE

Facts = list[tuple[str, str]]


def manifest_view(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest for the page: `facts` and `settings` as (name, value), `left_out` and `written` as rows."""
    left_out = manifest.get("left_out") or {}
    facts = [("Read", count(manifest.get("read"), "row")), ("Left out", count(sum(left_out.values()), "row"))]
    facts += _messages(manifest.get("messages") or {})
    facts += [(f"Groups, {split}", f"{n:,}") for split, n in (manifest.get("groups") or {}).items()]
    facts += _weights(manifest.get("weights") or {})
    facts += _distance(manifest.get("distance"))
    return {
        "facts": facts,
        "left_out": [(reason_text(reason), n) for reason, n in left_out.items()],
        "messages_left_out": [
            (reason_text(reason), n) for reason, n in ((manifest.get("messages") or {}).get("left_out") or {}).items()
        ],
        "written": [_file(name, about) for name, about in (manifest.get("written") or {}).items()],
        "strategies": [
            (f"{reason_text(strategy)}, {split}", n)
            for split, strategies in (manifest.get("strategies") or {}).items()
            for strategy, n in (strategies or {}).items()
        ],
        "inputs": [_input(entry) for entry in manifest.get("inputs") or []],
        "created": moment(manifest.get("created")),
        "settings": flatten(manifest.get("settings") or {}),
    }


def reason_text(name: str) -> str:
    return str(name).replace("_", " ")


def count(number: Any, noun: str) -> str:
    if not isinstance(number, int):
        return "not recorded"
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def moment(created: Any) -> str:
    """An ISO time to the minute, as a person writes it."""
    text = str(created or "")
    return text[:16].replace("T", " ") + (" UTC" if text.endswith(("+00:00", "Z")) else "")


def _file(name: str, about: dict[str, Any]) -> tuple[str, list[str], str]:
    """A file's name, its counts of rows, desirable and undesirable ones, and its SHA-256."""
    counts = [about.get(key) for key in ("rows", "desirable", "undesirable")]
    if not any(counts[1:]):  # conversations for SFT have no labels
        counts[1:] = [None, None]
    return name, [NONE if n is None else f"{n:,}" for n in counts], _short(about.get("sha256"))


def _input(entry: dict[str, Any]) -> tuple[str, str, str]:
    """What was read: a file, or a model, which has no size in bytes; then its SHA-256."""
    size = entry.get("bytes")
    return entry.get("path") or NONE, NONE if size is None else f"{size:,}", _short(entry.get("sha256"))


def _short(sha256: str | None) -> str:
    """The first digits of a hash; a model of the Hub has its name in that place, which stays whole."""
    text = sha256 or NONE
    return text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text


def _messages(messages: dict[str, Any]) -> Facts:
    if not messages:
        return []
    return [
        ("Messages read", f"{messages.get('read', 0):,}"),
        ("Messages used in turns", f"{messages.get('in_turns', 0):,}"),
    ]


def _weights(weights: dict[str, Any]) -> Facts:
    if not weights:
        return []
    return [
        ("Desirable answers, train", f"{weights['n_desirable']:,}"),
        ("Undesirable answers, train", f"{weights['n_undesirable']:,}"),
        ("Suggested weights", f"λ_D = {weights['desirable']:g}, λ_U = {weights['undesirable']:g}"),
        ("λ_D·n_D / (λ_U·n_U)", f"{weights['ratio']:.4g}, advised: 1 to 4/3"),
    ]


def _distance(distance: Any) -> Facts:
    """The fewest rows between two answers to one prompt, by split or as one number."""
    if distance is None:
        return []
    by_split = distance if isinstance(distance, dict) else {"all": distance}
    name = "Fewest rows between two answers to one prompt"
    return [
        (f"{name}, {split}", "every prompt has one answer" if rows is None else f"{rows:,}")
        for split, rows in by_split.items()
    ]


def flatten(value: Any, name: str = "") -> Facts:
    """Nested settings as dotted names: {"split": {"seed": 0}} → [("split.seed", "0")]."""
    if isinstance(value, dict) and value:
        return [fact for key, inner in value.items() for fact in flatten(inner, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return [fact for index, inner in enumerate(value) for fact in flatten(inner, f"{name}[{index}]")]
    if isinstance(value, list):
        return [(name, ", ".join(map(_plain, value)) or "none")]
    return [(name, _plain(value))]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "not set" if value is None or value == {} else str(value)


def versions(sources: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    """Package versions: one column for each source that recorded any, one row for each package."""
    recorded = {name: found["versions"] for name, found in sources.items() if found and found.get("versions")}
    packages = sorted({package for found in recorded.values() for package in found})
    rows = [(package, [str(found.get(package, NONE)) for found in recorded.values()]) for package in packages]
    return {"columns": list(recorded), "rows": rows}
