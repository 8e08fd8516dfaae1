"""Recipes: how generative students are made. Public names: `Recipe` and its parts."""

from freehold.train.recipes.recipe import Adapter, Base, Data, Optimizer, Preference, Recipe, Run, Scratch

__all__ = ["Adapter", "Base", "Data", "Optimizer", "Preference", "Recipe", "Run", "Scratch"]
