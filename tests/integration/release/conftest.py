"""Puts the fixtures of `release_fixtures` within reach of the tests beside it."""

from release_fixtures import installation

__all__ = ["installation"]
