"""Merge a stage's adapter into its base model, once."""

import shutil
from pathlib import Path

from kto_recipes.errors import UserError
from kto_recipes.files import model_sha256, read_json, write_json
from kto_recipes.recipe import load_recipe
from kto_recipes.stages.axolotl import refuse_failure, start_axolotl
from kto_recipes.stages.train import DONE
from kto_recipes.tokenizer_files import reply_ends, tokenizer_files

LOG = "merge.log"


def merge_stage(yaml: Path) -> bool:
    """Write `output_dir`/merged by `axolotl merge-lora`; False when it holds this adapter already.

    Raises:
        UserError: when the stage was not trained, or the merge failed.
    """
    recipe = load_recipe(yaml)
    stage = Path(recipe["output_dir"])
    if not (stage / DONE).is_file():
        raise UserError(f"{stage}: not trained yet; run scripts/train.py {yaml} first")
    adapter = model_sha256(str(stage))
    merged = stage / "merged"
    if (merged / DONE).is_file() and read_json(merged / DONE)["adapter_sha256"] == adapter:
        (merged / DONE).touch()
        return False
    shutil.rmtree(merged, ignore_errors=True)
    with (stage / LOG).open("wb") as log:
        code = start_axolotl(["merge-lora", str(yaml)], recipe, log).wait()
    if code != 0 or not any(merged.glob("*.safetensors")):
        refuse_failure(f"axolotl merge-lora {yaml}", code, stage / LOG)
    _carry_tokenizer(stage, merged)
    write_json(merged / DONE, {"adapter_sha256": adapter, "sha256": model_sha256(str(merged))})
    return True


def _carry_tokenizer(stage: Path, merged: Path) -> None:
    """Give the merged model the tokenizer it was trained with: the merge copies the base model's.

    Without it the chat template is lost, and generation does not stop at the template's end of turn.
    """
    for path in tokenizer_files(stage):
        shutil.copy2(path, merged / path.name)
    generation = merged / "generation_config.json"
    settings = read_json(generation) if generation.is_file() else {}
    write_json(generation, {**settings, "eos_token_id": reply_ends(settings, stage)})
