"""lm-evaluation-harness as this project uses it: quietly, on a model that is loaded already, one task at a time.

Importing this module imports the harness, which takes seconds.
"""

import difflib
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import datasets
import lm_eval
from lm_eval.api.task import Task
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager, get_task_dict

from kto_recipes.errors import UserError
from kto_recipes.generation import Loaded
from kto_recipes.progress import OnDone, StartTask
from kto_recipes.regression.choice import BUILT_IN, TASKS, hub_is_reachable

Scores = dict[str, dict[str, dict[str, float | None]]]  # by task and metric: value, stderr, n
_CPU_BATCH = 16
_FEWSHOT_SEED = 1234  # the harness's own


class TaskFolder:
    """The tasks there are: those in the folders alone while they are enough, else the harness's thousands, too."""

    def __init__(self, include: Path | None) -> None:
        datasets.disable_progress_bars()
        self._include = include
        self._manager = self._index(with_defaults=False)

    def own(self) -> list[str]:
        """The names of the tasks in the folder `include`.

        Raises:
            UserError: when there is none.
        """
        names = [name for name in self._manager.all_subtasks if name not in {task.name for task in BUILT_IN}]
        if not names:
            raise UserError(f"{self._include}: no task in this folder; a task is a .yaml file that says task: <name>")
        return names

    def load(self, names: Sequence[str]) -> dict[str, dict]:
        """The tasks by name, with their rows; of a group all that belong to it.

        Raises:
            UserError: when there is no such task, or its rows cannot be had.
        """
        local = set(self._manager.all_tasks)
        if not local.issuperset(names):
            self._manager = self._index(with_defaults=True)
        for name in names:
            if name not in self._manager.task_index:
                raise UserError(self._unknown(name, local))
        return {name: self._loaded(name, is_local=name in local) for name in names}

    def _index(self, with_defaults: bool) -> TaskManager:
        folders = [str(TASKS), *([str(self._include)] if self._include else [])]
        try:
            return TaskManager(include_path=folders, include_defaults=with_defaults)
        except Exception as error:  # somebody's YAML: anything can be wrong with it
            raise UserError(f"{self._include}: its tasks cannot be read ({first_line(error)})") from None

    def _loaded(self, name: str, is_local: bool) -> dict:
        try:
            return get_task_dict([name], self._manager)
        except Exception as error:  # a task is somebody's code: anything can happen in it
            if is_local or hub_is_reachable():
                raise UserError(f"task {name}: it cannot be loaded ({first_line(error)})") from None
            raise UserError(
                f"task {name}: its rows come from the Hub, which cannot be reached from here; leave --tasks out for "
                "the built-in tasks, or name a folder of your own with --include-path"
            ) from None

    def _unknown(self, name: str, local: set[str]) -> str:
        near = difflib.get_close_matches(name, self._manager.all_tasks, n=5)
        more = len(self._manager.all_tasks) - len(local)
        return (
            f'there is no task "{name}"{"; near it: " + ", ".join(near) if near else ""}; without a download there '
            f"are: {', '.join(sorted(local))}; and {more:,} of lm-evaluation-harness (lm-eval ls tasks)"
        )


class Model(HFLM):
    """A loaded model as the harness asks it; `start_task` hears how much it is asked, and of each answer."""

    def __init__(self, loaded: Loaded, start_task: StartTask) -> None:
        on_gpu = loaded.model.device.type == "cuda"
        super().__init__(
            pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size="auto" if on_gpu else _CPU_BATCH
        )
        self.title = ""
        self._start_task = start_task

    def loglikelihood(self, requests: list, disable_tqdm: bool = True) -> list:
        self._begin(requests)
        return super().loglikelihood(requests, disable_tqdm=True)

    def loglikelihood_rolling(self, requests: list, disable_tqdm: bool = True) -> list:
        self._begin(requests)
        return super().loglikelihood_rolling(requests, disable_tqdm=True)

    def generate_until(self, requests: list, disable_tqdm: bool = True) -> list:
        self._begin(requests)
        return super().generate_until(requests, disable_tqdm=True)

    def _loglikelihood_tokens(self, requests: list, disable_tqdm: bool = True, **more: Any) -> list:
        return super()._loglikelihood_tokens(requests, disable_tqdm=True, **more)

    def _begin(self, requests: list) -> None:
        self.set_cache_hook(_Heard(self._start_task(self.title, len(requests))))


class _Heard:
    """What the harness tells each answer to, meant for a cache."""

    def __init__(self, on_done: OnDone) -> None:
        self._on_done = on_done

    def add_partial(self, *_: Any) -> None:
        self._on_done(1)


def score(model: Model, name: str, task: dict, limit: int | None) -> Scores:
    """Ask `model` the rows of a task, or of all in a group, with the harness's own seeds."""
    import torch

    torch.manual_seed(_FEWSHOT_SEED)
    for leaf in _leaves(task):
        if leaf.get_config("num_fewshot") is None:
            leaf.set_config(key="num_fewshot", value=0)
        leaf.set_fewshot_seed(seed=_FEWSHOT_SEED)
    with redirect_stdout(io.StringIO()):  # it prints which batch size it found
        found = lm_eval.evaluate(
            model,
            task,
            limit=limit,
            log_samples=False,
            apply_chat_template=uses_template(task),
            fewshot_as_multiturn=True,
        )
    return scores_of(found, name)


def uses_template(task: dict) -> bool:
    """Whether a task speaks to the models through the chat template: where they are to write an answer.

    Likelihoods are asked for as text goes on, as the published figures are, and as a base model understands it, too.
    """
    return any(leaf.OUTPUT_TYPE == "generate_until" for leaf in _leaves(task))


def fewshots(task: dict) -> int:
    """How many solved examples stand before a question; the most, in a group."""
    return max(leaf.get_config("num_fewshot") or 0 for leaf in _leaves(task))


def _leaves(tasks: dict) -> Iterator[Task]:
    for task in tasks.values():
        if isinstance(task, dict):
            yield from _leaves(task)
        else:
            yield task


def scores_of(found: dict[str, Any], name: str) -> Scores:
    """The harness's result as value, standard error and number of rows.

    Args:
        found: what `lm_eval.evaluate` answers.
        name: the task; of a group its own metrics are taken, or those of its tasks where it has none.
    """
    asked = {task: n["effective"] for task, n in found["n-samples"].items()}
    whole = _metrics(found["results"].get(name, {}), sum(asked.values()))
    if whole:
        return {name: whole}
    return {task: _metrics(found["results"][task], n) for task, n in asked.items()}


def _metrics(row: dict[str, Any], n: int) -> dict[str, dict[str, float | None]]:
    """{"acc,none": 0.5, "acc_stderr,none": 0.1, "alias": …} → {"acc,none": {"value": 0.5, "stderr": 0.1, "n": n}}"""
    names = [key for key in row if "," in key and not key.split(",")[0].endswith("_stderr")]
    result = {}
    for key in names:
        metric, _, filtered = key.partition(",")
        result[key] = {"value": _number(row[key]), "stderr": _number(row.get(f"{metric}_stderr,{filtered}")), "n": n}
    return result


def _number(value: Any) -> float | None:
    """None for what is no number: the harness writes "N/A" where a metric has no standard error."""
    return float(value) if not isinstance(value, str) and value is not None and math.isfinite(value) else None


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
