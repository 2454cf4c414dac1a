"""What a recipe may say to the plugin, under one nested key that refuses what it does not know.

`extra="forbid"` on the outer class would break Axolotl's command line, which injects keys of its own.
"""

from pydantic import BaseModel, ConfigDict, Field


class KTOSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    allow: list[str] = Field(default=[], description="Names of checks whose finding is accepted knowingly.")


class KTOPluginArgs(BaseModel):
    kto: KTOSettings | None = Field(default=None, description="Settings of kto_recipes.plugin.KTOPlugin.")
