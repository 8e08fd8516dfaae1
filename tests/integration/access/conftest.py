"""Fixtures of this folder."""

from access_fixtures import control, desk, settings

__all__ = ["control", "desk", "settings"]
