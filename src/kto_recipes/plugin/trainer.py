"""The fast trainer with Axolotl's additions: optimizers, schedulers, parallelism."""

from axolotl.core.trainers import AxolotlKTOTrainer

from kto_recipes.trainer.fast import FastKTO


class AxolotlFastKTOTrainer(FastKTO, AxolotlKTOTrainer):
    """Axolotl makes it by name and hands it no settings: the plugin sets them on the class before."""
