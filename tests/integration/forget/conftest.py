"""Puts `forget_fixtures` within reach of the tests beside it."""
