"""manifest.json: what went in, what came out, and why the rest did not. Always written last."""

import os
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.files import read_json, sha256, write_json

MANIFEST = "manifest.json"
_VERSIONED = ("kto-recipes", "scikit-learn", "transformers", "torch")


def describe_input(path: Path, folder: Path) -> dict[str, Any]:
    """A file by content; its path is told from `folder`, so that it reads the same from anywhere."""
    return {"path": os.path.relpath(path, folder), "sha256": sha256(path), "bytes": path.stat().st_size}


def describe_output(path: Path, rows: int, desirable: int, undesirable: int) -> dict[str, Any]:
    return {"rows": rows, "desirable": desirable, "undesirable": undesirable, "sha256": sha256(path)}


def write_manifest(
    folder: Path,
    *,
    dataset: str,
    inputs: list[dict[str, Any]],
    read: int,
    left_out: Counter[str],
    written: dict[str, dict[str, Any]],
    counted: tuple[str, ...],
    **more: Any,
) -> None:
    """Write `folder`/manifest.json after checking its sum: `read` = rows in the `counted` files + left out.

    `more` holds what only some writers have (groups, weights, settings, messages, distance, …).
    """
    rows = sum(written[name]["rows"] for name in counted)
    if read != rows + sum(left_out.values()):
        raise AssertionError(f"{read} rows read, {rows} written and {sum(left_out.values())} left out do not add up")
    manifest = {
        "dataset": dataset,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in _VERSIONED},
        "inputs": inputs,
        "read": read,
        "left_out": dict(sorted(left_out.items())),
        "written": written,
        **more,
    }
    write_json(folder / MANIFEST, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{path}: no such file; prepare the dataset first (make data DATASET={folder.name})")
    return read_json(path)


def is_current(folder: Path, inputs: list[dict[str, Any]], settings: dict[str, Any]) -> bool:
    """Whether what `folder` holds was made from exactly these inputs and settings, and is still whole."""
    if not (folder / MANIFEST).is_file():
        return False
    manifest = read_json(folder / MANIFEST)
    return (
        manifest.get("inputs") == inputs
        and manifest.get("settings") == settings
        and manifest.get("versions", {}).get("kto-recipes") == version("kto-recipes")
        and all(
            (folder / name).is_file() and sha256(folder / name) == about["sha256"]
            for name, about in manifest["written"].items()
        )
    )
