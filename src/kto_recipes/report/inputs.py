"""What a report is made from: the files of a run folder, and one hash over all of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kto_recipes.errors import UserError
from kto_recipes.files import sha256, sha256_text
from kto_recipes.report.logs import METRICS, STATE, read_state
from kto_recipes.report.metrics import as_dict

PACKAGE = Path(__file__).parent
STAGES = ("sft", "kto")
SAMPLES_SHOWN = 10
_SOURCES = (".py", ".j2", ".css", ".js")  # of this package: what decides how the page looks
_IN_RUN = (
    "sft.yaml",
    "kto.yaml",
    f"sft/{STATE}",
    f"kto/{STATE}",
    f"sft/{METRICS}",
    f"kto/{METRICS}",
    "eval.json",
    "held_out.jsonl",
    "samples.jsonl",
    "regression.json",
    "data/manifest.json",
)
_JUDGES = "judge/*.json"


@dataclass
class Run:
    """A run folder as read. What a run does not have is None or empty; the page says so."""

    name: str
    recipes: dict[str, str] = field(default_factory=dict)  # stage → YAML text as run
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)  # stage → the same, parsed
    states: dict[str, dict[str, Any]] = field(default_factory=dict)  # stage → trainer_state.json
    evaluation: dict[str, Any] | None = None
    held_out: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)  # at most SAMPLES_SHOWN, spread over the file
    n_samples: int = 0  # lines in the file
    empty: dict[str, tuple[int, int]] = field(default_factory=dict)  # model → empty replies in the file, all of them
    judges: dict[str, dict[str, Any]] = field(default_factory=dict)  # file name → its content
    regression: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    dataset: dict[str, Any] | None = None
    dataset_manifest: Path | None = None  # where the dataset's manifest is expected; None: no dataset is named
    unread: dict[str, str] = field(default_factory=dict)  # file → why it could not be read


def read_run(folder: Path) -> Run:
    """Read what there is of a run; a file that cannot be read is noted in `unread` and counts as missing.

    Raises:
        UserError: the folder does not exist, or holds none of the files.
    """
    refuse_no_run(folder)
    if not any((folder / name).is_file() for name in _IN_RUN):
        raise UserError(f"{folder}: nothing to report; a run folder holds some of {', '.join(_IN_RUN)}")
    run = Run(name=folder.resolve().name)
    for stage in STAGES:
        _read_stage(run, folder, stage)
    run.evaluation = _object_of(run, folder, "eval.json")
    run.regression = _object_of(run, folder, "regression.json")
    run.data = _object_of(run, folder, "data/manifest.json")
    judges = {path.name: _object_of(run, folder, f"judge/{path.name}") for path in sorted(folder.glob(_JUDGES))}
    run.judges = {name: content for name, content in judges.items() if content is not None}
    run.held_out = _lines(run, folder, "held_out.jsonl")
    _read_samples(run, folder)
    run.dataset_manifest = _dataset_manifest(folder)
    if run.dataset_manifest is not None:
        run.dataset = _object_of(run, Path(), str(run.dataset_manifest))
    return run


def refuse_no_run(folder: Path) -> None:
    """Stop where a run's folder does not exist.

    Raises:
        UserError: it names the runs that lie beside it.
    """
    if not folder.is_dir():
        known = sorted(path.parent.name for path in folder.parent.glob("*/kto.yaml"))
        raise UserError(f"{folder}: no such run; the runs here are: {', '.join(known) or 'none'}")


def content_key(folder: Path, package: Path = PACKAGE) -> str:
    """SHA-256 over the run's name, every input's content (or absence) and this package's own sources."""
    paths = {name: folder / name for name in _IN_RUN}
    paths |= {f"judge/{path.name}": path for path in sorted(folder.glob(_JUDGES))}
    manifest = _dataset_manifest(folder)
    if manifest is not None:
        paths[str(manifest)] = manifest
    sources = sorted(path for path in package.rglob("*") if path.suffix in _SOURCES)
    paths |= {f"report/{path.relative_to(package)}": path for path in sources}
    lines = [f"{name} {sha256(path) if path.is_file() else 'absent'}" for name, path in paths.items()]
    return sha256_text("\n".join([folder.resolve().name, *lines]))


def _read_stage(run: Run, folder: Path, stage: str) -> None:
    recipe = folder / f"{stage}.yaml"
    if recipe.is_file():
        run.recipes[stage] = _text(recipe)
        run.settings[stage] = _settings(run.recipes[stage])
    try:
        state = read_state(folder / stage)
    except (OSError, ValueError) as error:
        run.unread[f"{stage}/{STATE}"] = _why(error)
        state = None
    if state is not None:
        run.states[stage] = state


def _object_of(run: Run, folder: Path, name: str) -> dict[str, Any] | None:
    """A JSON file that holds an object; None where there is none, with the reason if it cannot be read."""
    path = folder / name
    if not path.is_file():
        return None
    try:
        return _object(path.read_bytes())
    except (OSError, ValueError) as error:
        run.unread[name] = _why(error)
        return None


def _object(text: bytes) -> dict[str, Any]:
    """Python's own parser, because some writers leave NaN in their JSON, which others refuse."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {type(value).__name__}")
    return value


def _why(error: Exception) -> str:
    return f"not valid JSON ({error})" if isinstance(error, json.JSONDecodeError) else str(error)


def _lines(run: Run, folder: Path, name: str) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file, without the lines that cannot be read: those are counted in `unread`."""
    path = folder / name
    if not path.is_file():
        return []
    found, bad = [], []
    for number, line in _numbered(path):
        try:
            found.append(_object(line))
        except ValueError as error:
            bad.append(f"line {number}: {_why(error)}")
    if bad:
        more = f"; {len(bad) - 1} more lines cannot be read, either" if len(bad) > 1 else ""
        run.unread[name] = bad[0] + more
    return found


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        yield from ((number, line.strip()) for number, line in enumerate(file, 1) if line.strip())


def _read_samples(run: Run, folder: Path) -> None:
    """The samples to show, first and last included and the others evenly between; of all of them the counts."""
    samples = _lines(run, folder, "samples.jsonl")
    last, shown = len(samples) - 1, min(SAMPLES_SHOWN, len(samples))
    run.samples = [samples[round(i * last / max(shown - 1, 1))] for i in range(shown)]
    run.n_samples = len(samples)
    for sample in samples:
        for model, replies in _replies(sample):
            empty, count = run.empty.get(model, (0, 0))
            run.empty[model] = (empty + sum(not text.strip() for text in replies), count + len(replies))


def _replies(sample: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Each model's replies in a line of samples.jsonl."""
    for name, model in as_dict(sample.get("models")).items():
        if isinstance(model, dict):
            sampled = model.get("sampled")
            texts = [model.get("greedy"), *(sampled if isinstance(sampled, list) else [])]
            yield name, [text for text in texts if isinstance(text, str)]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _settings(text: str) -> dict[str, Any]:
    try:
        return as_dict(yaml.safe_load(text))
    except yaml.YAMLError:
        return {}  # the page shows the text as it is; only its one-line summary goes without


def _dataset_manifest(folder: Path) -> Path | None:
    """Where the dataset's own manifest should be, seen from the current directory.

    A run without made negatives has no data/manifest.json; its recipe names the dataset's files directly.
    """
    data = _object_of(Run(""), folder, "data/manifest.json")
    if data is not None:
        name = data.get("dataset")
        return Path("datasets") / name / "manifest.json" if isinstance(name, str) else None
    for stage in reversed(STAGES):
        recipe = folder / f"{stage}.yaml"
        entries = (
            _settings(recipe.read_text(encoding="utf-8", errors="replace")).get("datasets")
            if recipe.is_file()
            else None
        )
        for entry in entries if isinstance(entries, list) else []:
            path = Path(str(entry.get("path", ""))) if isinstance(entry, dict) else Path()
            if path.suffix == ".jsonl" and not path.is_relative_to(folder):
                return path.parent / "manifest.json"
    return None
