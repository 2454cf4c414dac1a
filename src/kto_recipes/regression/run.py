"""Run the regression check of a run: every task on every model, kept one by one, and regression.json at the end."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kto_recipes.errors import UserError
from kto_recipes.evaluate.models import RunModels, run_models
from kto_recipes.files import model_sha256, read_json, sha256, sha256_text, write_json
from kto_recipes.generation import free_memory, load, quiet
from kto_recipes.kept import KeptParts
from kto_recipes.progress import StartTask
from kto_recipes.regression.choice import TASKS, Wanted, default_tasks
from kto_recipes.tokenizer_files import tokenizer_identity

if TYPE_CHECKING:
    from kto_recipes.regression.harness import Model

RESULT = "regression.json"
PARTS = "regression"  # the folder of what was measured, by model and task
_VERSIONED = ("kto-recipes", "lm-eval", "transformers", "torch")


@dataclass(frozen=True)
class Asked:
    """What a person asks for; None stands for all models, the default tasks, or all rows."""

    models: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    include: Path | None = None
    limit: int | None = None


@dataclass
class Checked:
    """`wrote` is False where regression.json was current already; `notice` says why other tasks than usual were run."""

    wrote: bool
    notice: str | None


def check_regression(run: Path, asked: Asked, start_task: StartTask) -> Checked:
    """Write `run`/regression.json.

    Each model is loaded once, and only where a task is not there yet; what a task left is kept in `run`/regression. A
    task or model that fails is named under "missing", and tried again by the next call.

    Args:
        run: the run's folder.
        asked: what to check.
        start_task: called with a name and an amount of work; answers what to call as work is done.

    Raises:
        UserError: when a stage of the run has not finished, there is no such task or model, or nothing could be
            measured at all.
    """
    models = _chosen(run_models(run), asked.models)
    quiet()
    wanted, notice = _wanted(asked)
    check = _Check(models, wanted, asked, KeptParts(run / PARTS))
    if _is_current(run, check.inputs):
        (run / RESULT).touch()  # for make, which goes by the clock
        return Checked(False, notice)
    check.measure(start_task)
    if not check.scores:
        raise UserError(f"nothing could be measured: {next(iter(check.missing.values()))}")
    write_json(
        run / RESULT,
        {
            "run": run.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in _VERSIONED},
            "settings": check.settings(),
            "tasks": check.by_task(),
            **({"missing": check.missing} if check.missing else {}),
            "inputs": check.inputs,
        },
    )
    return Checked(True, notice)


def _chosen(models: RunModels, names: tuple[str, ...] | None) -> RunModels:
    for name in names or ():
        if name not in models.paths:
            raise UserError(f'--models: this run has no model "{name}"; it has {", ".join(models.paths)}')
    paths = {name: path for name, path in models.paths.items() if names is None or name in names}
    return RunModels(paths, models.reference, {**models.recipe, "tokenizer": models.paths["kto"]})


def _wanted(asked: Asked) -> tuple[tuple[Wanted, ...], str | None]:
    names, notice = asked.tasks, None
    if asked.include is not None and not asked.include.is_dir():
        raise UserError(f"--include-path {asked.include}: no such folder")
    if names is None and asked.include is not None:
        from kto_recipes.regression.harness import TaskFolder

        names = tuple(TaskFolder(asked.include).own())
    if names is not None:
        return tuple(Wanted(name, limit=asked.limit) for name in dict.fromkeys(names)), None
    tasks, why = default_tasks(_on_gpu())
    if why is not None:
        notice = f"{why}: the built-in tasks are run, which show large damage only (--tasks names others)"
    return tuple(Wanted(it.name, it.metric, asked.limit or it.limit) for it in tasks), notice


def _on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _is_current(run: Path, inputs: Mapping[str, Any]) -> bool:
    if not (run / RESULT).is_file():
        return False
    kept = read_json(run / RESULT)
    return kept.get("inputs") == inputs and not kept.get("missing")


class _Check:
    """One check under way: what it depends on, and what it has found."""

    def __init__(self, models: RunModels, wanted: tuple[Wanted, ...], asked: Asked, kept: KeptParts) -> None:
        self.models, self.wanted, self._asked, self._kept = models, wanted, asked, kept
        self.scores: dict[tuple[str, str], dict[str, Any]] = {}  # by model and wanted task
        self.missing: dict[str, str] = {}
        self._shared = self._depends_on()
        self._hashes = {name: model_sha256(path) for name, path in models.paths.items()}
        tasks = [asdict(task) for task in wanted]
        self.inputs = {**self._shared, "models": self._hashes, "tasks": tasks}

    def _depends_on(self) -> dict[str, Any]:
        """What every score depends on beside its model and task."""
        return {
            **tokenizer_identity(Path(self.models.recipe["tokenizer"]), self.models.recipe),
            "built_in": _folder_sha256(TASKS),
            "include": _folder_sha256(self._asked.include) if self._asked.include else None,
            "on_gpu": _on_gpu(),
            "versions": {name: version(name) for name in ("lm-eval", "torch", "transformers")},
        }

    def measure(self, start_task: StartTask) -> None:
        left = {name: list(self._not_kept(name)) for name in self.models.paths}
        names = list(dict.fromkeys(task.name for tasks in left.values() for task in tasks))
        if not names:
            return
        from kto_recipes.regression.harness import TaskFolder

        found = TaskFolder(self._asked.include).load(names)
        for name, tasks in left.items():
            if tasks:
                self._measure_model(name, tasks, found, start_task)

    def _not_kept(self, model: str) -> Iterator[Wanted]:
        for task in self.wanted:
            kept = self._kept.find(f"{model}.{task.name}", self._of(model, task))
            if kept is None:
                yield task
            else:
                self.scores[model, task.name] = kept

    def _of(self, model: str, task: Wanted) -> dict[str, Any]:
        return {**self._shared, "model": self._hashes[model], "task": task.name, "limit": task.limit}

    def _measure_model(self, name: str, tasks: list[Wanted], found: dict[str, dict], start_task: StartTask) -> None:
        from kto_recipes.regression.harness import Model

        recipe = self.models.recipe
        try:
            model = Model(load(self.models.paths[name], recipe, tokenizer=recipe["tokenizer"]), start_task)
        except UserError as error:
            self.missing[name] = str(error)
            return
        for task in tasks:
            self._measure_task(model, name, task, found[task.name])
        del model
        free_memory()

    def _measure_task(self, model: "Model", name: str, task: Wanted, rows: dict) -> None:
        from kto_recipes.regression.harness import fewshots, first_line, score, uses_template

        model.title = f"{name} {task.name}"
        try:
            scores = score(model, task.name, rows, task.limit)
        except Exception as error:  # a task is somebody's code: what it does must not cost the others' scores
            self.missing[model.title] = f"it stopped with {first_line(error)}; the same command tries it again"
            return
        value = {"scores": scores, "chat_template": uses_template(rows), "examples": fewshots(rows)}
        self.scores[name, task.name] = self._kept.keep(f"{name}.{task.name}", self._of(name, task), value)

    def by_task(self) -> dict[str, dict[str, dict[str, Any]]]:
        """{task: {metric: {model: {value, stderr, n}}}}, tasks as asked and models as they came to be."""
        result: dict[str, dict[str, dict[str, Any]]] = {}
        for task in self.wanted:
            for model in self.models.paths:
                for name, metrics in self.scores.get((model, task.name), {"scores": {}})["scores"].items():
                    for metric, it in metrics.items():
                        if task.metric in (None, metric):
                            result.setdefault(name, {}).setdefault(metric, {})[model] = it
        return result

    def settings(self) -> dict[str, Any]:
        """How it was asked, for a reader."""
        about = {task: it for (_, task), it in self.scores.items()}
        return {
            "precision": "bfloat16" if self._shared["on_gpu"] else "float32",
            "rows_at_most": {task.name: task.limit for task in self.wanted if task.limit is not None} or "all",
            "examples": {task: it["examples"] for task, it in about.items()},
            "chat_template": {task: it["chat_template"] for task, it in about.items()},
            "include": None if self._asked.include is None else str(self._asked.include),
        }


def _folder_sha256(folder: Path) -> str:
    """SHA-256 over the names and contents of all files below `folder`, but for what Python leaves there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    return sha256_text("\n".join(f"{path.relative_to(folder)} {sha256(path)}" for path in files))
