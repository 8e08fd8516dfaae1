"""All documents of a release at once: written, and checked."""

from __future__ import annotations

from collections.abc import Mapping

from freehold.release.inventory import CYCLONEDX, MOF_JSON, MOF_TEXT, OSAID, README, SPDX, Inventory
from freehold.release.standards import card, cyclonedx, mof, osaid, spdx


def documents(inventory: Inventory) -> dict[str, bytes]:
    """Path → bytes of the model card and of everything in `standards/`."""
    return {
        README: card.write(inventory),
        CYCLONEDX: cyclonedx.write(inventory),
        SPDX: spdx.write(inventory),
        MOF_JSON: mof.write_json(inventory),
        MOF_TEXT: mof.write_markdown(inventory),
        OSAID: osaid.write(inventory),
    }


def problems(written: Mapping[str, bytes]) -> tuple[str, ...]:
    """What in these documents (path → bytes) breaks their standards' rules; nothing: they keep them.

    `mof.md` and `osaid.json` have no schema.

    Raises:
        ConfigError: the extra `sbom`, whose libraries carry the schemas, is not installed.
    """
    checks = {README: card.problems, CYCLONEDX: cyclonedx.problems, SPDX: spdx.problems, MOF_JSON: mof.problems}
    return tuple(problem for path, check in checks.items() if path in written for problem in check(written[path]))
