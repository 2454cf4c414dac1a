"""What a recipe may say to the plugin, under one nested key that refuses what it does not know.

`extra="forbid"` on the outer class would break Axolotl's command line, which injects keys of its own.
"""

from typing import Literal

from pydantic import BaseModel, Field

from kto_recipes.trainer.settings import TrainerSettings


class KTOSettings(TrainerSettings):
    loss_type: Literal["kto", "apo_zero_unpaired"] = Field(
        default="kto",
        description="kto, or apo_zero_unpaired (APO, arXiv 2408.06266): no reference point, and one pass less.",
    )
    allow: list[str] = Field(default=[], description="Names of checks whose finding is accepted knowingly.")

    def for_trainer(self) -> TrainerSettings:
        return TrainerSettings(**{name: getattr(self, name) for name in TrainerSettings.model_fields})


class KTOPluginArgs(BaseModel):
    kto: KTOSettings | None = Field(default=None, description="Settings of kto_recipes.plugin.KTOPlugin.")
