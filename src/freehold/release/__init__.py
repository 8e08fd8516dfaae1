"""A student in, a release that others can verify out (a later issue)."""
