"""Recipes: how generative students are made.

Public names: `Recipe` and its parts, `load_recipe`, `find_recipe`, `read_recipe`, `builtin_names`,
`recipe_toml`.
"""

from freehold.train.recipes.load import builtin_names, find_recipe, load_recipe, read_recipe
from freehold.train.recipes.recipe import Adapter, Base, Data, Optimizer, Preference, Recipe, Run, Scratch
from freehold.train.recipes.write import recipe_toml

__all__ = [
    "Adapter",
    "Base",
    "Data",
    "Optimizer",
    "Preference",
    "Recipe",
    "Run",
    "Scratch",
    "builtin_names",
    "find_recipe",
    "load_recipe",
    "read_recipe",
    "recipe_toml",
]
