"""What a report is made from: the files of a run folder, and one hash over all of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kto_recipes.errors import UserError
from kto_recipes.files import sha256, sha256_text

PACKAGE = Path(__file__).parent
STAGES = ("sft", "kto")
SAMPLES_SHOWN = 10
_SOURCES = (".py", ".j2", ".css", ".js")  # of this package: what decides how the page looks
_IN_RUN = (
    "sft.yaml",
    "kto.yaml",
    "sft/trainer_state.json",
    "kto/trainer_state.json",
    "eval.json",
    "samples.jsonl",
    "data/manifest.json",
)


@dataclass(frozen=True)
class Run:
    """A run folder as read. What a run does not have is None or empty; the page says so."""

    name: str
    recipes: dict[str, str]  # stage → YAML text as run
    settings: dict[str, dict[str, Any]]  # stage → the same, parsed
    states: dict[str, dict[str, Any]]  # stage → trainer_state.json
    evaluation: dict[str, Any] | None
    samples: list[dict[str, Any]]  # at most SAMPLES_SHOWN, spread over the file
    n_samples: int  # lines in the file
    data: dict[str, Any] | None
    dataset: dict[str, Any] | None
    dataset_manifest: Path | None  # where the dataset's manifest is expected; None: no dataset is named


def read_run(folder: Path) -> Run:
    """Read what there is of a run.

    Raises:
        UserError: the folder does not exist, holds none of the files, or one of them cannot be read.
    """
    if not folder.is_dir():
        known = sorted(path.parent.name for path in folder.parent.glob("*/kto.yaml"))
        raise UserError(f"{folder}: no such run; the runs here are: {', '.join(known) or 'none'}")
    if not any((folder / name).is_file() for name in _IN_RUN):
        raise UserError(f"{folder}: nothing to report; a run folder holds some of {', '.join(_IN_RUN)}")
    recipes = {s: (folder / f"{s}.yaml").read_text() for s in STAGES if (folder / f"{s}.yaml").is_file()}
    states = {s: read_object(folder / s / "trainer_state.json") for s in STAGES}
    samples, n_samples = _spread(folder / "samples.jsonl")
    dataset_manifest = _dataset_manifest(folder)
    return Run(
        name=folder.resolve().name,
        recipes=recipes,
        settings={stage: _settings(text) for stage, text in recipes.items()},
        states={stage: state for stage, state in states.items() if state is not None},
        evaluation=read_object(folder / "eval.json"),
        samples=samples,
        n_samples=n_samples,
        data=read_object(folder / "data" / "manifest.json"),
        dataset=read_object(dataset_manifest) if dataset_manifest else None,
        dataset_manifest=dataset_manifest,
    )


def content_key(folder: Path, package: Path = PACKAGE) -> str:
    """SHA-256 over the run's name, every input's content (or absence) and this package's own sources."""
    paths = {name: folder / name for name in _IN_RUN}
    manifest = _dataset_manifest(folder)
    if manifest is not None:
        paths[str(manifest)] = manifest
    sources = sorted(path for path in package.rglob("*") if path.suffix in _SOURCES)
    paths |= {f"report/{path.relative_to(package)}": path for path in sources}
    lines = [f"{name} {sha256(path) if path.is_file() else 'absent'}" for name, path in paths.items()]
    return sha256_text("\n".join([folder.resolve().name, *lines]))


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON file that holds an object; None where there is no file.

    Python's own parser, because a trainer's state may hold NaN, which is no JSON and which others refuse.
    """
    if not path.is_file():
        return None
    return _object(path.read_bytes(), str(path))


def _object(text: bytes, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"{place}: not valid JSON ({error}); make it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{place}: expected an object, found {type(value).__name__}")
    return value


def _spread(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The samples to show, first and last included and the others evenly between, and how many there are."""
    if not path.is_file():
        return [], 0
    lines = [(n, line) for n, line in enumerate(path.read_bytes().splitlines(), 1) if line.strip()]
    last, shown = len(lines) - 1, min(SAMPLES_SHOWN, len(lines))
    chosen = [lines[round(i * last / max(shown - 1, 1))] for i in range(shown)]
    return [_object(line, f"{path}:{n}") for n, line in chosen], len(lines)


def _settings(text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}  # the page shows the text as it is; only its one-line summary goes without
    return value if isinstance(value, dict) else {}


def _dataset_manifest(folder: Path) -> Path | None:
    """Where the dataset's own manifest should be, seen from the current directory.

    A run without made negatives has no data/manifest.json; its recipe names the dataset's files directly.
    """
    data = read_object(folder / "data" / "manifest.json")
    if data is not None:
        name = data.get("dataset")
        return Path("datasets") / name / "manifest.json" if isinstance(name, str) else None
    for stage in reversed(STAGES):
        recipe = folder / f"{stage}.yaml"
        entries = _settings(recipe.read_text()).get("datasets") if recipe.is_file() else None
        for entry in entries if isinstance(entries, list) else []:
            path = Path(str(entry.get("path", ""))) if isinstance(entry, dict) else Path()
            if path.suffix == ".jsonl" and not path.is_relative_to(folder):
                return path.parent / "manifest.json"
    return None
