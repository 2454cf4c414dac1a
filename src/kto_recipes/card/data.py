"""What a card tells of the data: counts of a manifest, never a row, a name or a path."""

from typing import Any, get_args

from kto_recipes.prepare.redact import Kind
from kto_recipes.report.metrics import as_dict, is_finite

STRATEGIES = {
    "base_sample": "replies sampled from the model before SFT",
    "contaminate": "real replies to another prompt, or by another speaker",
    "corrupt": "the good reply, damaged",
    "paraphrase": "the good reply, made longer and more formal",
    "template": "stock formal answers",
}
_FILES = ("sft.train", "sft.eval", "positives.train", "positives.eval", "kto.train", "kto.eval")
_ENDING = ".jsonl"


def data_facts(data: dict[str, Any] | None, dataset: dict[str, Any] | None) -> dict[str, Any]:
    """Counts from a run's data/manifest.json and its dataset's manifest.json, either of which may be missing.

    A manifest also holds names and paths; only fields that are known to be harmless are read, and only as numbers
    or as words of this project's own.
    """
    manifests = [it for it in (dataset, data) if it]
    files = {name: counts for manifest in manifests for name, counts in _files(manifest).items()}
    last = data or dataset or {}
    return {
        "files": [(name, *files[name]) for name in _FILES if name in files],
        "read": [_whole((it or {}).get("read")) for it in (dataset, data)],
        "left_out": sum(_left_out(it) for it in manifests),
        "groups": _numbers(last.get("groups"), ("train", "eval")),
        "weights": _numbers(last.get("weights"), ("desirable", "undesirable", "ratio")),
        "strategies": _strategies((data or {}).get("strategies")),
        "redacted": _redacted(dataset or {}),
    }


def _files(manifest: dict[str, Any]) -> dict[str, tuple[int | None, int | None, int | None]]:
    """Of each file of a standard name, how many rows, desirable and undesirable ones; SFT's have no labels."""
    written = as_dict(manifest.get("written"))
    found = {}
    for name in _FILES:
        about = as_dict(written.get(name + _ENDING))
        if _whole(about.get("rows")) is not None:
            good, bad = (_whole(about.get(key)) for key in ("desirable", "undesirable"))
            found[name] = (about["rows"], good, bad) if good or bad else (about["rows"], None, None)
    return found


def _left_out(manifest: dict[str, Any]) -> int:
    return sum(count for count in map(_whole, as_dict(manifest.get("left_out")).values()) if count)


def _strategies(strategies: Any) -> list[tuple[str, str, int]]:
    """(name, what it is, rows to train on) of the made undesirable answers."""
    counts = as_dict(as_dict(strategies).get("train"))
    return [(name, what, counts[name]) for name, what in STRATEGIES.items() if _whole(counts.get(name))]


def _redacted(dataset: dict[str, Any]) -> list[str]:
    asked = as_dict(as_dict(dataset.get("settings")).get("clean")).get("redact")
    return [kind for kind in get_args(Kind) if isinstance(asked, list) and kind in asked]


def _numbers(values: Any, keys: tuple[str, ...]) -> dict[str, float]:
    return {key: as_dict(values)[key] for key in keys if is_finite(as_dict(values).get(key))}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
