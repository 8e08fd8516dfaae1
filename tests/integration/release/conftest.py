"""An installation with a student that can be released."""

from release_fixtures import installation

__all__ = ["installation"]
