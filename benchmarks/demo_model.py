"""Which model the benchmarks of `make eval` and of negatives measure: the demo's tiny one, or a random one as small."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kto_recipes.errors import UserError

TINY = Path("outputs/models/tiny-llama")


def refuse_in_vain(model: Path, *, quick: bool, out: Path | None) -> None:
    """Stop before anything is measured.

    Raises:
        UserError: when there is no such model, or a quick run would overwrite what was measured.
    """
    if quick and out is None:
        raise UserError("--quick says nothing about speed: name a file for its results with --out")
    if not quick and not (model / "done").is_file():
        raise UserError(f"{model}: no model there; make it with python scripts/make_tiny_model.py --out {model}")


@contextmanager
def measured_model(model: Path, *, quick: bool) -> Iterator[Path]:
    """The folder of the model to measure: `model`, or for a quick run one of random weights."""
    with TemporaryDirectory() as folder:
        yield _random_model(Path(folder)) if quick else model


def _random_model(folder: Path) -> Path:
    from negatives_jobs import RECIPE

    from kto_recipes.generation import quiet
    from kto_recipes.random_model import MINIATURE, write_random_model

    quiet()
    return write_random_model(RECIPE, MINIATURE, folder)
