"""Levels 3 and 4: a part of the training is done again from its checkpoint, then all of it from nothing."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator

from freehold.domain.errors import ReleaseError
from freehold.domain.evidence import Check
from freehold.domain.machines import Machine, TrainingRun
from freehold.release.inventory import CODE
from freehold.release.verify.dataset import rows_of
from freehold.release.verify.released import Released
from freehold.release.verify.report import Missing, checked, guarded
from freehold.release.verify.workshop import Recipe, Workshop, digests
from freehold.runners.machine import TRAINING_CODE, code_digest, code_hashes, installed_packages, this_machine
from freehold.store.artifacts import sha256_of

DECISIVE: frozenset[str] = frozenset(("numpy", "scipy", "scikit-learn", "safetensors", "msgspec", "regex"))
"""Packages whose version can change the bytes of a classical student."""
MAX_CODE = 256 << 20
GENERATIVE_DECISIVE: frozenset[str] = DECISIVE - {"scipy", "scikit-learn"} | {
    "torch",
    "transformers",
    "tokenizers",
    "peft",
}
"""The same of a generative one."""
_KIND = ("architecture", "flags", "libc", "python")
"""What makes machines of one kind, as far as arithmetic is concerned; and the libraries that do it."""
_NOTED = ("cpu", "cores", "system")
_DO_NOT_RELY = "The release does not tell how this student was trained: ask whoever signed it."


def replay_checks(released: Released, workshop: Workshop) -> Iterator[Check]:
    """The checks of level 3: see `Workshop.segment`."""
    yield checked("seed", lambda: _seed(released))
    yield from guarded("segment", lambda: workshop.replayed(recipe_of(released, workshop)))


def retrain_checks(released: Released, workshop: Workshop) -> Iterator[Check]:
    """The checks of level 4, each done when it is asked for."""
    yield checked("code", lambda: _code(released))
    yield checked("weights", lambda: _retrained(released, workshop))


def recipe_of(released: Released, workshop: Workshop) -> Recipe:
    """All that the student was made from; level 2 found the rows to be right."""
    rows = rows_of(released, workshop)
    training = released.inventory.training
    return Recipe(released.files, released.dataset, rows, training.seed, training.run)


def _seed(released: Released) -> str:
    training = released.inventory.training
    other = {name: seed for name, seed in training.seeds.items() if seed != training.seed}
    if other:
        raise ReleaseError(f"The inventory tells two seeds: {training.seed} and {other}.", _DO_NOT_RELY)
    return f"Seed {training.seed} for all that is drawn: {', '.join(training.seeds) or 'nothing else is told'}."


def _code(released: Released) -> str:
    """That training/code.zip holds the sources that the inventory names by hash. Nothing of it is run."""
    training = released.inventory.training
    found = _zipped(released.sealed.read(CODE))
    if code_digest(found) != training.code_sha256:
        raise ReleaseError(f"{CODE} does not hold the code that the inventory names by hash.", _DO_NOT_RELY)
    if training.run is not None and training.same_code and not training.run.code.items() <= found.items():
        raise ReleaseError(f"{CODE} is not the code that the record of the training names.", _DO_NOT_RELY)
    own = code_hashes()
    same = "what verifies here" if own == found else "not what verifies here, which alone is run"
    return f"{CODE} holds {len(found)} sources with the hash that the inventory names; they are {same}."


def _zipped(data: bytes) -> dict[str, str]:
    """Path in the package → SHA-256 of the files in a zip archive."""
    found: dict[str, str] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_CODE:
                raise ReleaseError(f"{CODE} unpacks to more than {MAX_CODE} bytes.", _DO_NOT_RELY)
            for info in archive.infolist():
                with archive.open(info) as file:  # gives no more bytes than the size that was counted above
                    found[info.filename.removeprefix("freehold/")] = sha256_of(file.read())
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
        raise ReleaseError(f"{CODE} cannot be unpacked: {error}.", _DO_NOT_RELY) from error
    return found


def _retrained(released: Released, workshop: Workshop) -> str:
    recipe = recipe_of(released, workshop)
    again = workshop.retrained(recipe)
    run = released.inventory.training.run
    # Now that the libraries for arithmetic are loaded.
    kind, noted = differences(run, this_machine(), workshop.decisive, workshop.code)
    one, two = digests(again), digests(recipe.files)
    other = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
    if not other and not kind:
        told = f" ({'; '.join(noted)})" if noted else ""
        return f"Trained again on {len(recipe.samples)} rows: all {len(one)} files are the same to the byte{told}."
    if not kind and not noted:
        raise ReleaseError(
            f"Trained again on the same kind of machine by the same code, {', '.join(other)} came out otherwise.",
            _DO_NOT_RELY,
        )
    said = "; ".join([*kind, *noted])
    if not other:
        raise Missing(f"the bytes came out the same, but this is another kind of machine: {said}.", _SAME_KIND)
    prompts = [sample.prompt for sample in recipe.samples if sample.part == "certify"]
    pairs = zip(workshop.answers(recipe.files, prompts), workshop.answers(again, prompts), strict=True)
    same = sum(one.output == two.output for one, two in pairs)
    raise Missing(
        f"{', '.join(other)} came out otherwise, but not on the same kind of machine, by the same code: {said}. Of "
        f"{len(prompts)} certify rows the two students answer {same} the same.",
        _SAME_KIND,
    )


_SAME_KIND = "Verify on a machine like training/training.json describes, with training/lock.txt installed."


def differences(
    run: TrainingRun | None,
    here: Machine,
    decisive: frozenset[str] = DECISIVE,
    code: tuple[str, ...] = TRAINING_CODE,
) -> tuple[list[str], list[str]]:
    """How this machine differs from the one that trained: what makes it another kind, and what may only matter.

    Args:
        run: as it is told of.
        here: this machine.
        decisive: packages whose version can change the bytes.
        code: what of the package can.
    """
    if run is None:
        return ["on what it was trained is unknown"], []
    there = run.machine
    kind = [
        f"{name} {_short(getattr(here, name))}, not {_short(getattr(there, name))}"
        for name in _KIND
        if getattr(here, name) != getattr(there, name)
    ]
    # Training may have shared its process with libraries that had no part in it, and so may this.
    one, other = set(here.arithmetic), set(there.arithmetic)
    if not (one <= other or other <= one):
        kind.append(f"arithmetic by {_short(here.arithmetic)}, not {_short(there.arithmetic)}")
    packages = installed_packages(tuple(sorted(decisive)))
    changed = [
        (name, packages.get(name, "none"), version)
        for name, version in run.packages.items()
        if packages.get(name) != version
    ]
    kind += [f"{name} {now}, not {then}" for name, now, then in changed if name in decisive]
    noted = [
        f"{name} {_short(getattr(here, name))}, not {_short(getattr(there, name))}"
        for name in _NOTED
        if getattr(here, name) != getattr(there, name)
    ]
    if run.code != code_hashes(code):
        noted.append(f"the code of training is not that of {run.software}")
    return kind, noted


def _short(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
