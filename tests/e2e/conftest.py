"""Puts the fixtures of `product_fixtures` within reach of the tests beside it."""

from product_fixtures import desk, owned, owned_once, recorded, recorded_once

__all__ = ["desk", "owned", "owned_once", "recorded", "recorded_once"]
