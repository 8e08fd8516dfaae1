"""Fixtures of the tests of the store."""

from table_fixtures import at_place, control_url, open_stores, place, s3_endpoint

__all__ = ["at_place", "control_url", "open_stores", "place", "s3_endpoint"]
