"""Which files a recipe trains on, and which of them can be looked at here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kto_recipes.doctor.finding import Finding
from kto_recipes.recipe.traps import OUR_TYPE

_DATA_ENDINGS = (".jsonl", ".json", ".parquet", ".arrow", ".csv", ".txt", ".gz", ".zst")
_MADE_BY_THE_CHAIN = ("outputs", "datasets")
# Keys of an SFT entry that give its rows another shape than {"messages": [...]} with role and content.
_OTHER_SHAPE = (
    "field_messages",
    "message_field_role",
    "message_field_content",
    "message_property_mappings",
    "roles",
    "ds_type",
    "data_files",
)


def look_at(recipe: dict[str, Any], key: str) -> tuple[list[Path], list[Finding]]:
    """The files under `key` (datasets or test_datasets) whose rows can be read here, and a finding on each other.

    A file that is not there is an error, unless the chain is still to write it: a relative path that begins with
    outputs/ or datasets/ and has no manifest.json beside it, which is what a stage writes last, is "not prepared
    yet". A name without a data file's ending, as owner/name, is the Hub's.
    """
    files, findings = [], []
    for entry in _entries(recipe, key):
        path = str(entry["path"])
        finding = _not_looked_at(recipe, entry, path)
        if finding is None:
            files.append(Path(path))
        else:
            findings.append(finding)
    return files, findings


def _entries(recipe: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    entries = recipe.get(key)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("path"):
            yield entry


def _not_looked_at(recipe: dict[str, Any], entry: dict[str, Any], path: str) -> Finding | None:
    if not Path(path).exists():
        return _absent(path)
    if not Path(path).is_file() or not path.endswith(".jsonl"):
        return _unseen(path, "it is no .jsonl file")
    kind = entry.get("type")
    if recipe.get("rl") == "kto":
        is_known = kind in (None, OUR_TYPE)
    else:
        is_known = kind == "chat_template" and not any(entry.get(name) for name in _OTHER_SHAPE)
    return None if is_known else _unseen(path, f"its type is {kind!r}, which may want other rows")


def _absent(path: str) -> Finding:
    parts = Path(path).parts
    if not path.endswith(_DATA_ENDINGS) and not path.startswith((".", "/", "~")) and parts[0] not in _MADE_BY_THE_CHAIN:
        return _unseen(path, "it is not on this machine")
    if parts[0] in _MADE_BY_THE_CHAIN and not Path(path).with_name("manifest.json").is_file():
        return Finding(
            "not_prepared", "warning", f"{path}: not prepared yet", "The chain writes it; `make` lists its stages."
        )
    return Finding(
        "data_file",
        "error",
        f"{path}: no such file",
        "Prepare the data first, or mend the path, which begins at the folder that Axolotl is started in.",
    )


def _unseen(path: str, why: str) -> Finding:
    return Finding("not_looked_at", "warning", f"{path}: its rows were not looked at, because {why}")
