"""Puts the fixtures of `attack_fixtures` within reach of the tests beside it."""

from attack_fixtures import target

__all__ = ["target"]
