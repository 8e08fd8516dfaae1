"""What verifying a generative student's release needs done: it answers again, and is trained again from nothing.

Its files are copied to a folder of this process's own before anything reads them, each hashed as it is copied: what is
loaded is what was signed. Weights are safetensors, the rest is JSON; a chat template is rendered in a sandbox.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from freehold.domain.errors import ConfigError, StoreError, StudentError, TrainingError
from freehold.domain.evidence import Check
from freehold.loop.release_jobs import BaseWorkshop
from freehold.release.inventory import GENERATIVE_TOLERANCE
from freehold.release.models import checked_base
from freehold.release.verify import Answered, Recipe, StudentFiles
from freehold.release.verify.report import Missing, checked
from freehold.release.verify.training import GENERATIVE_DECISIVE, differences
from freehold.runners.apart import open_loopback
from freehold.runners.machine import GENERATIVE_CODE, answering_environment, installed_packages, this_machine
from freehold.serving.bases.files import CONFIG, PICKLES
from freehold.serving.folder import MODEL, BaseUsed, GenerativeManifest
from freehold.serving.gate import VOCABULARY, Gate, StudentAnswer, learn_gate, read_gate
from freehold.store.artifacts import MANIFEST, TENSORS, adopt_student, check_files, read_student
from freehold.train.counts import token_rates
from freehold.train.progress import ignore
from freehold.train.recipes import Recipe as TrainingRecipe
from freehold.train.recipes import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from freehold.train.generative.students import Plan

_DO_NOT_RELY = "Do not rely on this release: ask whoever signed it."
_INSTALL = "Run `pip install 'freehold[train]'` (without a GPU: `pip install torch==2.13.0` first), and verify again."
_SAME_KIND = "Verify on a machine like training/training.json describes, with training/lock.txt installed."
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


class _Student(NamedTuple):
    """A student's files, read and found to fit together."""

    folder: Path
    manifest: GenerativeManifest
    tensors: dict[str, NDArray[Any]]
    gate: Gate


class GenerativeWorkshop(BaseWorkshop):
    """For generative students. No code of the release is run."""

    tolerance = GENERATIVE_TOLERANCE
    segment = (
        "No step of the training, of which no checkpoint is kept, but all that is made of the rows before and after "
        "it: the tokenizer, the gate and the rates of tokens are made again, and the released weights answer the tune "
        "rows again."
    )
    decisive = GENERATIVE_DECISIVE
    code = GENERATIVE_CODE

    def __init__(self, config: Path | None = None) -> None:
        super().__init__(config)
        self._rooms: list[tempfile.TemporaryDirectory[str]] = []
        """Removed when this goes."""
        self._bases: dict[str, Path] = {}

    def environment(self) -> dict[str, str]:
        """See `Workshop`."""
        return answering_environment()

    def answers(self, files: Mapping[str, bytes], prompts: Sequence[str]) -> list[Answered]:
        """See `Workshop`."""
        found = self._answered(self._student(files), prompts)
        return [Answered(answer.text, answer.signal, answer.novelty) for answer in found]

    def replayed(self, recipe: Recipe) -> list[Check]:
        """See `Workshop`."""
        student = self._student(recipe.files)
        return [
            checked("tokenizer", lambda: self._same_tokenizer(recipe, student)),
            checked("gate", lambda: _same_gate(recipe, student)),
            checked("tune answers", lambda: self._same_tune_answers(recipe, student)),
        ]

    def retrained(self, recipe: Recipe) -> StudentFiles:
        """See `Workshop`."""
        student = self._student(recipe.files)
        used = _recipe_in(student.manifest)
        _refuse_unreleased(used)
        _require("torch", "transformers", *(("peft",) if used.adapter is not None else ()))
        plan = self._plan(recipe, student.manifest, used)
        _refuse_elsewhere(recipe, used, plan)
        from freehold.train.generative.students import make_student

        if used.run.workers > 1:
            open_loopback()
        room = self._room()
        try:
            made = make_student(plan, room / "run", ignore)
        except (ConfigError, TrainingError) as error:
            raise Missing(f"it cannot be trained here: {error.message}", error.hint) from error
        sha256 = adopt_student(room / "student", room / "run", msgspec.to_builtins(made.manifest), made.tensors)
        return _Folder(room / "student", sha256)

    def _answered(self, student: _Student, prompts: Sequence[str]) -> list[StudentAnswer]:
        _require("torch")
        from freehold.serving.engine import answer_all

        known = student.manifest
        base = self._base(known.base) if known.weights == "adapter" and known.base is not None else None
        try:
            return answer_all(student.folder, known, base, prompts, student.gate)
        except TrainingError as error:  # of its chat template
            raise StudentError(error.message, _DO_NOT_RELY) from error
        except (KeyError, ValueError, OSError) as error:
            raise StudentError(f"The student's files cannot be computed with: {error}.", _DO_NOT_RELY) from error
        except (MemoryError, RuntimeError) as error:  # torch says so of memory, and of much else
            said = str(error).strip().partition("\n")[0] or "memory ran out"
            raise Missing(f"it cannot be computed here: {said}.", "Verify on a machine with more memory.") from error

    def _student(self, files: Mapping[str, bytes]) -> _Student:
        """A student's files in a folder of this process's own.

        Raises:
            StudentError: they are no student's, or do not fit together.
        """
        assert isinstance(files, StudentFiles)  # as releases give them, and as training gives them
        _check_names(files.hashes)
        try:
            folder = files.folder(self._room())
        except StoreError as error:
            raise Missing(f"its weights cannot be laid out to be loaded: {error.message}", error.hint) from error
        manifest, tensors = read_student(folder, files.hashes[MANIFEST])
        if manifest["files"] != {name: digest for name, digest in files.hashes.items() if name != MANIFEST}:
            raise StudentError("The student's manifest names other files than the release has.", _DO_NOT_RELY)
        gate = read_gate(manifest, tensors)
        return _Student(folder, gate.manifest, tensors, gate)

    def _room(self) -> Path:
        room = tempfile.TemporaryDirectory(prefix="freehold-verify-", ignore_cleanup_errors=True)
        self._rooms.append(room)
        return Path(room.name)

    def _base(self, used: BaseUsed) -> Path:
        """The base model's folder in the installation at hand, every file of it hashed once.

        Raises:
            Missing: it is not there.
        """
        if used.sha256 not in self._bases:
            self._bases[used.sha256] = self._base_of_installation(used)
        return self._bases[used.sha256]

    def _base_of_installation(self, used: BaseUsed) -> Path:
        from freehold.serving.bases.find import locate
        from freehold.serving.bases.places import base_folder

        named = f"its base model {used.name} (SHA-256 {used.sha256[:16]}…)"
        installation = self.installation()
        if installation is None:
            raise Missing(f"{named} is not in the release.", "Name an installation that has it: --config FILE.")
        store, settings = installation
        try:
            try:
                folder = base_folder(store.data, used)
            except StudentError:
                folder = locate(settings, used.name).folder
            return checked_base(folder, used)[0]
        except (ConfigError, StudentError) as error:
            raise Missing(f"{named} is not at hand: {error.message}", error.hint) from error

    def _plan(self, recipe: Recipe, known: GenerativeManifest, used: TrainingRecipe) -> Plan:
        from freehold.train.generative.students import BaseAt, Plan

        if isinstance(used.model, Scratch) != (known.base is None):
            raise StudentError("The student's recipe and its manifest tell of different bases.", _DO_NOT_RELY)
        base = BaseAt(known.base, self._base(known.base)) if known.base is not None else None
        return Plan(recipe.dataset, recipe.samples, used, base, recipe.seed)

    def _same_tokenizer(self, recipe: Recipe, student: _Student) -> str:
        known = student.manifest
        if known.weights == "adapter":
            return "It has none of its own: its base's is used."
        _require("tokenizers")
        lacking = [name for name in _TOKENIZER_FILES if f"{MODEL}/{name}" not in recipe.files]
        if lacking:
            raise StudentError(f"The student has no {lacking[0]}.", _DO_NOT_RELY)
        from freehold.train.generative.prepare import start_of

        plan = self._plan(recipe, known, _recipe_in(known))
        try:
            tokenizer, _ = start_of(plan.samples, plan.recipe, plan.base.folder if plan.base is not None else None)
        except TrainingError as error:
            raise Missing(f"the tokenizer cannot be made here: {error.message}", error.hint) from error
        made = self._room()
        tokenizer.save(made)
        own = student.folder / MODEL
        other = [name for name in _TOKENIZER_FILES if (own / name).read_bytes() != (made / name).read_bytes()]
        if not other:
            how = "as its base has it" if known.base is not None else "trained again on the fit rows"
            return f"The tokenizer, {how}, and its chat template are the same to the byte."
        there = recipe.run.packages.get("tokenizers", "unknown") if recipe.run is not None else "unknown"
        here = installed_packages(("tokenizers",)).get("tokenizers", "none")
        if there != here:
            raise Missing(f"{', '.join(other)} came out otherwise, by tokenizers {here}, not {there}.", _SAME_KIND)
        raise StudentError(f"Made again of the fit rows, {', '.join(other)} came out otherwise.", _DO_NOT_RELY)

    def _same_tune_answers(self, recipe: Recipe, student: _Student) -> str:
        prompts = [sample.prompt for sample in recipe.samples if sample.part == "tune"]
        told = _told_answers(student.tensors)
        if len(told) != len(prompts):
            raise StudentError(f"{TENSORS} tells of {len(told)} tune rows; there are {len(prompts)}.", _DO_NOT_RELY)
        again = self._answered(student, prompts)
        near = GENERATIVE_TOLERANCE
        off = sum(
            one.text != two.text
            or not abs(one.signal - two.signal) <= near.signal
            or not abs(one.novelty - two.novelty) <= near.novelty
            for one, two in zip(told, again, strict=True)
        )
        if not off:
            return f"The released weights answer all {len(prompts)} tune rows as {TENSORS} tells."
        elsewhere = _elsewhere(recipe)
        if elsewhere:
            raise Missing(f"{off} of {len(prompts)} tune rows are answered otherwise, but: {elsewhere}.", _SAME_KIND)
        raise StudentError(f"{off} of {len(prompts)} tune rows are answered otherwise than told.", _DO_NOT_RELY)


class _Folder(StudentFiles):
    """The files of a student that was made here."""

    def __init__(self, folder: Path, sha256: str) -> None:
        manifest, _ = read_student(folder, sha256)
        check_files(folder, manifest)
        self._at = folder
        self._hashes: dict[str, str] = {MANIFEST: sha256, **manifest["files"]}

    @property
    def hashes(self) -> dict[str, str]:
        return self._hashes

    def __getitem__(self, name: str) -> bytes:
        if name not in self._hashes:
            raise KeyError(name)
        return (self._at / name).read_bytes()

    def folder(self, place: Path) -> Path:
        return self._at


def _recipe_in(known: GenerativeManifest) -> TrainingRecipe:
    """The recipe that a student's manifest keeps.

    Raises:
        Missing: it is of another version.
    """
    try:
        return msgspec.convert(known.recipe, TrainingRecipe)
    except msgspec.ValidationError as error:
        raise Missing(
            f"its recipe cannot be understood here: {error}.", "Verify with the version of Freehold that trained it."
        ) from error


def _check_names(hashes: Mapping[str, str]) -> None:
    if MANIFEST not in hashes or TENSORS not in hashes:
        raise StudentError("The release's model folder holds no student.", _DO_NOT_RELY)
    pickles = [name for name in hashes if Path(name).suffix.lower() in PICKLES]
    if pickles:
        raise StudentError(f"The release holds a pickle, {pickles[0]}, which may run code.", _DO_NOT_RELY)


def _require(*modules: str) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise Missing(f"{' and '.join(missing)}, which computes language models, is not installed here.", _INSTALL)


def _same_gate(recipe: Recipe, student: _Student) -> str:
    fit = [sample for sample in recipe.samples if sample.part == "fit"]
    learned, tensors = learn_gate(sample.prompt for sample in fit), student.tensors
    rates, known = token_rates(fit), student.manifest
    told = (known.input_tokens_fixed, known.input_tokens_per_character, known.output_tokens_per_character)
    other = [
        name
        for name, same in (
            ("words", bytes(learned.vocabulary) == tensors[VOCABULARY].tobytes()),
            ("novelties", learned.novelty.tobytes() == tensors.get("fit_novelty", np.zeros(0)).tobytes()),
            ("rates of tokens", (rates.fixed, rates.per_character, rates.per_answer_character) == told),
        )
        if not same
    ]
    if other:
        raise StudentError(
            f"Made again of the {len(fit)} fit rows, {', '.join(other)} came out otherwise.", _DO_NOT_RELY
        )
    return f"Words, novelties and rates of tokens follow from the {len(fit)} fit rows, to the bit."


def _told_answers(tensors: Mapping[str, NDArray[Any]]) -> list[StudentAnswer]:
    try:
        texts = msgspec.json.decode(tensors["tune_answers"].tobytes(), type=list[str])
        rows = zip(texts, tensors["tune_signals"].tolist(), tensors["tune_novelty"].tolist(), strict=True)
        return [StudentAnswer(*row) for row in rows]
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise StudentError(f"{TENSORS} does not tell how tune rows were answered: {error}.", _DO_NOT_RELY) from error


def _elsewhere(recipe: Recipe) -> str:
    """What makes this another kind of machine than the one that trained, in words; empty: nothing."""
    kind, noted = differences(recipe.run, this_machine(), GENERATIVE_DECISIVE, GENERATIVE_CODE)
    return "; ".join([*kind, *noted])


def _refuse_elsewhere(recipe: Recipe, used: TrainingRecipe, plan: Plan) -> None:
    """Find out before training, which may take hours, whether it can come out the same.

    Raises:
        Missing: it cannot, or it is not known what it depends on.
    """
    from freehold.train.generative import environment

    run = recipe.run
    if run is None or not run.environment:
        raise Missing(
            "what its bytes depend on was not recorded when it was trained.", "Train it again, and release that."
        )
    here = environment.describe_here(used.run, _width(used, plan))
    kind, _ = differences(run, this_machine(), GENERATIVE_DECISIVE, GENERATIVE_CODE)
    reasons = [*environment.differences(run.environment, here), *kind]
    if run.environment.get("device", "cpu") != "cpu":
        reasons.append("a GPU sums in any order, so that equal bytes are not promised")
    if reasons:
        raise Missing(
            f"it was not trained again, since it would not come out the same: {'; '.join(reasons)}.", _SAME_KIND
        )


def _refuse_unreleased(used: TrainingRecipe) -> None:
    """Find out whether all that it was made of is in the release.

    Raises:
        Missing: it is not.
    """
    if used.method == "dpo":
        raise Missing(
            "it was tuned by preferences, and the pairs of answers that it learned from (what people said of answers, "
            "and what an earlier student answered) are not in the release, nor is that student.",
            "Level 3 answers the tune rows again; the installation that trained it can train it again.",
        )
    if used.data.samples > 1 and used.data.best_of:
        raise Missing(
            f"of up to {used.data.samples} answers to a prompt its recipe kept the best by the task's scorer as it was "
            "then, which the release does not tell.",
            "Level 3 answers the tune rows again; the installation that trained it can train it again.",
        )


def _width(used: TrainingRecipe, plan: Plan) -> int:
    if isinstance(used.model, Scratch) or plan.base is None:
        return used.model.hidden if isinstance(used.model, Scratch) else 0
    config = msgspec.json.decode((plan.base.folder / CONFIG).read_bytes(), type=dict[str, Any])
    return int(config.get("hidden_size", 0))
