"""Which upstream's name goes with a model: exact name, then glob, then the first that takes any model. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase


class ModelMap:
    """Finds the upstream of a model by name.

    Args:
        models: upstream → the models it serves (names or globs; none: any model that no other names), in order.
    """

    def __init__(self, models: Mapping[str, Sequence[str]]) -> None:
        self.any = next((name for name, served in models.items() if not served), None)
        """The upstream that takes any model."""
        self._exact: dict[str, str] = {}
        self._globs: list[tuple[str, str]] = []
        for name, served in models.items():
            for model in served:
                if is_glob(model):
                    self._globs.append((model, name))
                else:
                    self._exact.setdefault(model, name)

    def find(self, model: str) -> str | None:
        """The name of the upstream that serves `model`, or None."""
        exact = self._exact.get(model)
        if exact is not None:
            return exact
        if not self._globs:
            return self.any
        return next((name for pattern, name in self._globs if fnmatchcase(model, pattern)), self.any)


def is_glob(model: str) -> bool:
    """Whether a configured model is a pattern."""
    return any(character in model for character in "*?[")
