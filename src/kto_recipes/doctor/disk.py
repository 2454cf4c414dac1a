"""Whether the run fits on the disk, counted before the first download.

Formula, in bytes; a saved weight takes 2 in bf16 and 4 in float32:

- the base model, parameters × 2, in the Hub cache, unless it is there or a local folder;
- for each stage its result: the merged model of an adapter, or the full weights, parameters × 2 or 4;
- for each stage save_total_limit checkpoints (4 where the recipe sets no limit), which stay, and one more of the
  largest while it is written: the trained parameters × (weights and optimizer states, as in memory.py);
- for KTO with an adapter the full-size model that Axolotl writes beside it, parameters × 2 or 4, which no loader
  can use: the plugin deletes it before the merge needs as much, so it counts only where the recipe has no plugin.

What a stage has finished already is not counted again.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from kto_recipes.doctor import hub
from kto_recipes.doctor.finding import Finding
from kto_recipes.doctor.memory import optimizer_bytes, trained_parameters, weight_bytes
from kto_recipes.doctor.plan import Plan
from kto_recipes.doctor.shapes import Shape, shape_of
from kto_recipes.recipe.checks import PLUGIN

GB = 1e9
HUB_WEIGHT_BYTES = 2  # how the recipes' base models are published
DEFAULT_CHECKPOINTS = 4  # Axolotl's save_total_limit


def disk_findings(plan: Plan) -> Iterator[Finding]:
    """One finding for each file system that the run writes to."""
    base = plan.base_model
    shape = shape_of(base)
    if shape is None:
        yield Finding("disk", "warning", f"the shape of {base} is unknown, and so is the disk space the run needs")
        return
    cache = hub.cache_folder()
    needs = {cache: download_bytes(base, shape), plan.run: run_bytes(plan, shape)}
    if _device(cache) == _device(plan.run):
        needs = {plan.run: sum(needs.values())}
    for folder, needed in needs.items():
        if needed or folder == plan.run:
            yield _finding(folder, needed)


def download_bytes(model: str, shape: Shape) -> int:
    """What has to be downloaded to the Hub cache."""
    if Path(model).is_dir() or hub.is_cached(model):
        return 0
    return shape.parameters * HUB_WEIGHT_BYTES


def run_bytes(plan: Plan, shape: Shape) -> int:
    """What the run's folder still has to take."""
    total = largest = 0
    for stage, recipe in plan.stages.items():
        is_adapter = bool(recipe.get("adapter"))
        if (plan.run / stage / ("merged" if is_adapter else "") / "done").is_file():
            continue
        weight = weight_bytes(recipe)
        checkpoint = trained_parameters(recipe, shape) * ((4 if is_adapter else weight) + optimizer_bytes(recipe))
        largest = max(largest, checkpoint)
        total += checkpoint * int(recipe.get("save_total_limit") or DEFAULT_CHECKPOINTS)
        total += shape.parameters * weight
        if stage == "kto" and is_adapter and PLUGIN not in (recipe.get("plugins") or []):
            total += shape.parameters * weight
    return total + largest


def _finding(folder: Path, needed: int) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free
    message = f"needs about {_size(needed)} at {folder}, {_size(free)} are free"
    if needed > free:
        advice = f"Free {_size(needed - free)}, or move outputs/ or HF_HOME to a larger disk."
        return Finding("disk", "error", message, advice)
    return Finding("disk", "ok", message)


def _size(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count < GB else f"{count / GB:.0f} GB"


def _existing(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that is there."""
    return next(path for path in [folder, *folder.absolute().parents] if path.is_dir())


def _device(folder: Path) -> int:
    return _existing(folder).stat().st_dev
