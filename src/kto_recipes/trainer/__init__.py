"""KTO, faster than stock TRL and computing the same thing. Imports without Axolotl.

    from peft import LoraConfig
    from trl import KTOConfig
    from kto_recipes.trainer import FastKTOTrainer, TrainerSettings

    trainer = FastKTOTrainer(
        model="Qwen/Qwen2.5-0.5B-Instruct",
        args=KTOConfig(output_dir="out", per_device_train_batch_size=8),
        train_dataset=rows,  # prompt, completion, label: what TRL's KTOTrainer takes
        peft_config=LoraConfig(target_modules="all-linear"),
        settings=TrainerSettings(ref_cache_dir="out/ref-cache"),
    )
    trainer.train()

`TrainerSettings` says what each setting does and costs.
"""

from typing import TYPE_CHECKING, Any

from kto_recipes.trainer.settings import TrainerSettings

if TYPE_CHECKING:
    from kto_recipes.trainer.fast import FastKTOTrainer

__all__ = ["FastKTOTrainer", "TrainerSettings"]


def __getattr__(name: str) -> Any:
    """The trainer, imported when it is asked for: TRL and torch take seconds that the settings need not."""
    if name == "FastKTOTrainer":
        from kto_recipes.trainer.fast import FastKTOTrainer

        return FastKTOTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
