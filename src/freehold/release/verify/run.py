"""All levels in order, to the one that is asked for or the first that is not reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from freehold.domain.evidence import Check
from freehold.domain.rights import Kind
from freehold.release.inventory import Inventory, Role
from freehold.release.verify.dataset import dataset_checks
from freehold.release.verify.evaluation import evaluation_checks
from freehold.release.verify.released import Released
from freehold.release.verify.report import ItemVerdict, Level, Report, checked, level_of
from freehold.release.verify.seal import Sealed, check_files, open_sealed, read_inventory, signature_sentence
from freehold.release.verify.training import replay_checks, retrain_checks
from freehold.release.verify.tree import Tree
from freehold.release.verify.workshop import Workshop
from freehold.runners.machine import CODE_OF, code_hashes

MAX_LEVEL = 4
_PROVEN: dict[Role, int] = {
    "certificate": 1,
    "evidence": 1,
    "evaluation-results": 1,
    "tolerance": 1,
    "dataset-record": 2,
    "row-hashes": 2,
    "dataset": 2,
    "evaluation-data": 2,
    "pipeline": 2,
    "checkpoint": 3,
    "training-record": 4,
    "training-code": 4,
    "weights": 4,
    "model-manifest": 4,
    "gate": 4,
    "tokenizer": 4,
    "chat-template": 4,
}
"""Role → the level at which an item is found to be what it is said to be. Of the others nothing is checked but that
they are as signed."""


class Opened:
    """A release at level 0: what was found, and the means to go on, if it holds."""

    def __init__(self, tree: Tree, key: str) -> None:
        self._tree = tree
        self._key = key
        self.sealed: Sealed | None = None
        self.inventory: Inventory | None = None

    def checks(self) -> Iterator[Check]:
        """The checks of level 0, each done when it is asked for."""
        yield checked("signature", self._signature)
        yield checked("files", lambda: check_files(self._known()))
        yield checked("inventory", self._inventory)

    def _signature(self) -> str:
        self.sealed = open_sealed(self._tree, self._key)
        return signature_sentence(self.sealed, self._key)

    def _inventory(self) -> str:
        self.inventory = read_inventory(self._known())
        return f"Release {self.inventory.release_id} of {self.inventory.student_id}; it tells of what is there."

    def _known(self) -> Sealed:
        assert self.sealed is not None  # the check of the signature passed
        return self.sealed


def verify_release(folder: Path, key: str, level: int, workshop: Callable[[Kind], Workshop], network: str) -> Report:
    """Verify the release in a folder up to a level, by the public key that is trusted (64 hex digits).

    Args:
        workshop: makes what levels above 0 need of a kind of student.
        network: how this process is kept from it, for the report.

    Raises:
        ReleaseError: the folder cannot be opened. Whatever else is wrong is in the report.
    """
    with Tree(folder) as tree:
        opened = Opened(tree, key)
        levels = [level_of(0, opened.checks())]
        if level and levels[0].reached and opened.sealed is not None and opened.inventory is not None:
            released = Released(opened.sealed, opened.inventory)
            levels += _further(released, workshop(opened.inventory.weights.kind), key, level)
    return _report(folder, key, level, network, opened, levels)


def _further(released: Released, workshop: Workshop, key: str, level: int) -> Iterator[Level]:
    checks = (
        lambda: evaluation_checks(released, workshop, key),
        lambda: dataset_checks(released, workshop),
        lambda: replay_checks(released, workshop),
        lambda: retrain_checks(released, workshop),
    )
    for number, of_level in enumerate(checks[:level], start=1):
        done = level_of(number, of_level())
        yield done
        if not done.reached:
            return


def _report(folder: Path, key: str, asked: int, network: str, opened: Opened, levels: list[Level]) -> Report:
    reached = max((level.level for level in levels if level.reached), default=-1)
    stopped = [check for level in levels if not level.reached for check in level.checks if not check.passed]
    why = f"Level {levels[-1].level}, {levels[-1].name}: {stopped[0].name}: {stopped[0].sentence}" if stopped else ""
    return Report(
        folder=str(folder),
        release_id=opened.inventory.release_id if opened.inventory else "",
        manifest_sha256=opened.sealed.manifest_sha256 if opened.sealed else "",
        key=key,
        asked=asked,
        reached=reached,
        why_not_more=why,
        hint=stopped[0].hint if stopped else "",
        network=network,
        levels=tuple(levels),
        items=_items(opened.inventory, reached) if opened.inventory else (),
    )


def _items(inventory: Inventory, reached: int) -> tuple[ItemVerdict, ...]:
    run = inventory.training.run
    same_code = run is not None and run.code == code_hashes(
        CODE_OF[inventory.weights.kind]
    )  # the release's own is never run
    found: list[ItemVerdict] = []
    for item in inventory.items:
        level = None if item.role == "training-code" and not same_code else _PROVEN.get(item.role)
        proven = level if item.path and level is not None and level <= reached else None
        state = "verified" if proven is not None else "present" if item.path else "declared"
        found.append(ItemVerdict(role=item.role, path=item.path, declared=item.state, state=state, level=proven))
    return tuple(found)
