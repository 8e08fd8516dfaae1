"""Fixtures of the tests of the store."""

from table_fixtures import control_url, open_stores, place, s3_endpoint

__all__ = ["control_url", "open_stores", "place", "s3_endpoint"]
