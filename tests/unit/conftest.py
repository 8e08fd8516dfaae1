"""Puts the shared desk of `loop_fixtures` within reach of the folders below."""

from loop_fixtures import owned_desk

__all__ = ["owned_desk"]
