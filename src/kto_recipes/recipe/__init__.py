"""A recipe: one YAML file that Axolotl runs as it stands."""

from kto_recipes.recipe.block import fill_block
from kto_recipes.recipe.checks import Problem, problems, refuse_problems
from kto_recipes.recipe.text import load_recipe, recipe_header

__all__ = ["Problem", "fill_block", "load_recipe", "problems", "recipe_header", "refuse_problems"]
