"""A finished run as those who use it see it: its models, one tokenizer for all of them, and the system prompt."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.evaluate.models import RunModels, run_models
from kto_recipes.rows import are_messages, read_jsonl


@dataclass(frozen=True)
class FinishedRun:
    """`system` is the system prompt of the run's data; None where they have none."""

    folder: Path
    models: RunModels
    system: str | None

    @property
    def tokenizer(self) -> Path:
        """The folder whose tokenizer and template all models of the run use."""
        return Path(self.models.paths["kto"])

    def model(self, name: str) -> str:
        """The folder or Hub name of a model.

        Raises:
            UserError: when the run has no model of that name.
        """
        if name not in self.models.paths:
            raise UserError(f"{self.folder}: no model {name!r} in this run; it has {', '.join(self.models.paths)}")
        return self.models.paths[name]


def finished_run(folder: Path) -> FinishedRun:
    """Find what a run has made.

    Raises:
        UserError: when there is no such run, or a stage of it has not finished.
    """
    models = run_models(folder)
    return FinishedRun(folder, models, system_prompt(models.recipe))


def system_prompt(recipe: dict[str, Any]) -> str | None:
    """The first held-out row's system message; None where it has none, or the rows are not on this machine."""
    for entry in recipe.get("test_datasets") or []:
        if not Path(entry["path"]).is_file():
            continue
        for _, row in read_jsonl(Path(entry["path"])):
            messages = row.get("prompt") if isinstance(row, dict) else None
            if are_messages(messages) and messages and messages[0]["role"] == "system":
                return messages[0]["content"]
            break
    return None
