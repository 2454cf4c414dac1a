"""The Axolotl plugin: `plugins: [kto_recipes.plugin.KTOPlugin]` in a recipe."""

import sys
from pathlib import Path
from typing import Any

from axolotl.integrations.base import BasePlugin

from kto_recipes.errors import UserError
from kto_recipes.recipe.checks import refuse_problems

__all__ = ["KTOPlugin"]


class KTOPlugin(BasePlugin):
    """Refuses a recipe that would go wrong silently, and makes a run repeatable and observable."""

    def register(self, cfg: Any) -> None:
        """Check the recipe file as it was written, before Axolotl drops what it does not know."""
        try:
            refuse_problems(Path(cfg["axolotl_config_path"]))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None

    def get_input_args(self) -> str:
        return "kto_recipes.plugin.args.KTOPluginArgs"

    def post_model_load(self, cfg: Any, model: Any) -> None:
        """Seed once more: Axolotl's RL path makes the adapter's first weights from an unseeded generator."""
        from transformers import set_seed

        if cfg.seed is not None:
            set_seed(cfg.seed)

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list:
        from kto_recipes.plugin.callbacks import MetricsFile

        return [MetricsFile()]

    def post_train_unload(self, cfg: Any) -> None:
        """Delete the full-size weights Axolotl leaves beside an RL adapter; no loader can read their keys."""
        output = Path(cfg.output_dir)
        if cfg.rl and (output / "adapter_model.safetensors").is_file():
            for junk in [*output.glob("model*.safetensors"), *output.glob("model.safetensors.index.json")]:
                junk.unlink()
