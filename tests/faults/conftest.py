"""Puts the fixtures of `fault_fixtures` within reach of the tests beside it."""

from fault_fixtures import pool, stand

__all__ = ["pool", "stand"]
