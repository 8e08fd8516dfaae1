"""A ladder that was laid in, its one look at the certify part out: a certificate of all its rungs together.

Which rung answers a certify row is asked of the router itself, as the gateway asks it, at every step of the walk. The
router that is certified is stored with the step that it serves at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from freehold.domain.errors import CertificateError, EvidenceError, NotFound
from freehold.domain.evidence import CertifiedRung, Evidence, LossName, RiskName, Sample, TestName
from freehold.domain.scoring import Scorer
from freehold.evaluate.certify import FAIR_ROWS, MEANING, SAME_TRAFFIC, Attempt, count_attempt, issue
from freehold.evaluate.conclude import conclude
from freehold.evaluate.losses import loss_terms
from freehold.signals.answers import final_answer
from freehold.signals.embed import embedder_for
from freehold.signals.ladder import Expected, Step, climb
from freehold.signals.outcome_file import decode_outcomes, encode_outcomes
from freehold.signals.outcomes import Outcomes
from freehold.signals.router import Router, RouterManifest, build_router
from freehold.signals.text import Embedder
from freehold.store.artifacts import dataset_file_sha256, read_router, write_router
from freehold.store.evidence import EvidenceRows

if TYPE_CHECKING:
    from freehold.store import Store

ROUTERS = "routers"
DO_NOT_RELY = "Do not rely on it: `freehold rollback TASK`, and let the loop certify again."
STUDENT = "student/"
_SAME_MODELS = (
    "The rented models answer as they did: their names are certified, and their providers can change what is behind "
    "them; audits watch for it."
)
_ONE_ANSWER = "Of each model one answer was scored; asked again, it may give another, of the same kind."


class LaidPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A ladder as it was laid on fit and tune rows, and what shall be certified of it."""

    task: str
    dataset: str
    models: tuple[str, ...]
    """The incumbent and the candidates, as the router knows them."""
    upstreams: tuple[str, ...]
    router_path: str
    """Folder of the router, relative to the data folder; it still serves at the first step."""
    router_sha256: str
    steps: tuple[tuple[float, float], ...]
    """Price and offset, strictest first."""
    moments: tuple[float, ...]
    """Per step, the second moment that its test starts from where losses are graded."""
    loss: LossName
    risk: RiskName
    test: TestName
    scorer: str
    epsilon: float
    delta: float
    self_disagreement: float | None = None


class RungFigures(msgspec.Struct, frozen=True):
    """What one rung does on the certify rows at the certified step."""

    name: str
    share: float
    """Of all requests."""
    loss: float | None
    """Mean over those it answers; None where it answers none."""
    dollars: float
    """Per request that it is asked about; the incumbent's beside it in the record of the ladder."""


class LadderAttempt(msgspec.Struct, frozen=True):
    """What the look gave."""

    number: int
    certificate: str | None
    reason: str
    rungs: tuple[RungFigures, ...]
    """Of the certified ladder, the incumbent last."""
    saving: float
    """Share of always asking the incumbent, on the certify rows."""


class _Look(NamedTuple):
    router: Router
    manifest: RouterManifest
    tensors: dict[str, NDArray[np.generic]]
    expected: Expected
    rows: EvidenceRows


def ladder_terms(scorer: Scorer | None, loss: Literal["harm", "signed"]) -> tuple[LossName, TestName]:
    """The loss of a ladder's answers with this scorer, and its test, by what the loss can be by definition."""
    name, test = loss_terms(scorer)
    if name == "disagreement" or loss == "harm":
        return name, test
    return "signed", "trinomial" if test == "exact binomial" else "betting"


def begin_ladder_attempt(store: Store, task_id: str, certify_rows: int) -> int:
    """Count an attempt before its data are looked at. A task's attempts share one counter and one δ.

    Raises:
        EvidenceError: the task is gone.
    """
    return count_attempt(store, task_id, shadow_rows_at_attempt=certify_rows)


def certify_ladder(
    store: Store, plan: LaidPlan, certify: Outcomes, attempt: int, now_ns: int, embedder: Embedder | None = None
) -> LadderAttempt:
    """Test the walk on the certify rows and issue a certificate for its laxest step that holds.

    `embedder`: the one that the router was fitted with, if it was fitted with one. Repeating the same attempt gives the
    same result: the rows, the router and the walk are fixed.

    Raises:
        NotFound: a student or the dataset is not stored.
        StudentError: the router's files are missing or changed.
        EvidenceError: there is nothing to test.
        StoreError: evidence, router or certificate cannot be stored.
    """
    look = _look(store, plan, certify, embedder)
    drafted = _evidence(store, plan, look.manifest, attempt, plan.router_path, plan.router_sha256)
    figures = conclude(drafted, look.rows).figures
    if figures is None:
        failed = issue(store, drafted, look.rows, now_ns)
        return LadderAttempt(attempt, None, failed.reason, (), 0.0)
    step = Step(*figures.thresholds)
    path = f"{ROUTERS}/{_name(plan, attempt)}"
    served = msgspec.structs.replace(look.manifest, step=step)
    sha256 = write_router(store.data / path, served, look.tensors)
    given = issue(store, _evidence(store, plan, look.manifest, attempt, path, sha256), look.rows, now_ns)
    return _told(given, look, certify, step)


def expected_by(router: Router, task: str, outcomes: Outcomes) -> Expected:
    """What the router itself expects of recorded requests, in the precision in which it serves."""
    manifest = router.manifest
    predictions = [router.predict(task, prompt) for prompt in outcomes.prompts]
    losses = np.stack([prediction.losses for prediction in predictions])
    costs = np.stack([prediction.costs for prediction in predictions])
    novelty = np.array([prediction.novelty for prediction in predictions])
    if manifest.signal == "prompt":
        return Expected(losses, costs, novelty)
    if outcomes.answers is None:
        raise EvidenceError("A cascade looks at answers, and none were kept.", "Build the outcomes again.")
    after = np.zeros(losses.shape)
    for row, prediction in enumerate(predictions):
        earlier: list[str] = []
        for rung in manifest.rungs:
            heard = outcomes.heard(row, rung, manifest.mean_cost, sampled=manifest.samples > 1)
            after[row, rung - 1] = router.expected_loss(task, prediction, rung, heard, earlier)
            earlier.append(final_answer(heard.text))
    return Expected(losses, costs, novelty, after)


def ladder_choices(router: Router, expected: Expected, steps: Sequence[tuple[float, ...]]) -> NDArray[np.int8]:
    """Who answers each row at each step, (n, S): the position of the rung on the ladder, −1 for the incumbent."""
    position = np.full(len(router.manifest.models), -1, np.int8)
    position[list(router.manifest.rungs)] = np.arange(len(router.manifest.rungs))
    return np.stack([position[_climb(router, expected, Step(*step))[0]] for step in steps], axis=1)


def chooses_by_words(store: Store, evidence: Evidence) -> bool:
    """Whether the evidence's router needs no embedder, so that it can be asked again anywhere.

    Raises: StudentError, if its files are missing or changed.
    """
    return not _router(store, evidence)[0].get("prompts", {}).get("embedded")


def routed_again(
    store: Store, evidence: Evidence, rows: EvidenceRows, samples: Sequence[Sample], embedder: str = ""
) -> str:
    """Check that the router, asked again, chooses at every step as the evidence says.

    `embedder`: the folder of the one it looks at, if it looks at one.

    Raises:
        CertificateError: it does not.
        StudentError: its files are missing or changed, or the embedder is not the one it was fitted with.
    """
    manifest, tensors = _router(store, evidence)
    router = build_router(manifest, tensors, embedder_for(embedder, manifest))
    asked = _asked_again(router, evidence, rows, samples)
    chosen = ladder_choices(router, expected_by(router, evidence.task, asked), evidence.path)
    other = (chosen != rows.choices).any(1)
    if other.any():
        raise CertificateError(
            f"The router now sends {int(other.sum())} of {len(asked)} certify rows elsewhere than in the evidence.",
            DO_NOT_RELY,
        )
    return f"The router was asked about all {len(asked)} certify rows again and chose the same at every step."


def _asked_again(router: Router, evidence: Evidence, rows: EvidenceRows, samples: Sequence[Sample]) -> Outcomes:
    """The certify rows with what the router sees of them."""
    ids, prompts = [sample.trace_id for sample in samples], [sample.prompt for sample in samples]
    if router.manifest.signal == "prompt":
        empty = np.zeros((len(ids), 1))
        return Outcomes(ids, prompts, [evidence.task] * len(ids), router.manifest.models[:1], empty, empty)
    if rows.outcomes is None:
        raise CertificateError("The evidence of a cascade lacks the answers that it chose by.", DO_NOT_RELY)
    try:
        recorded, _ = decode_outcomes(rows.outcomes, router.manifest.models)
    except PolarsError as error:
        raise CertificateError(f"The answers in the evidence cannot be read: {error}.", DO_NOT_RELY) from error
    if list(recorded.prompt_ids) != ids or list(recorded.prompts) != prompts:
        raise CertificateError("The answers in the evidence are not those to its certify rows.", DO_NOT_RELY)
    signed = recorded.losses[:, [rung - 1 for rung in router.manifest.rungs]]
    if not np.array_equal(_lost(signed, evidence.loss), rows.losses):
        raise CertificateError("The losses in the evidence do not follow from its scores.", DO_NOT_RELY)
    return recorded


def _lost(signed: NDArray[np.float64], loss: LossName) -> NDArray[np.float64]:
    return signed if loss == "signed" else np.maximum(signed, 0.0)


def _router(store: Store, evidence: Evidence) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    rung = evidence.rungs[0]
    return read_router(store.data / rung.signal_path, rung.signal_sha256)


def _look(store: Store, plan: LaidPlan, certify: Outcomes, embedder: Embedder | None) -> _Look:
    manifest, tensors = read_router(store.data / plan.router_path, plan.router_sha256)
    router = build_router(manifest, tensors, embedder)
    if not len(certify) or not plan.steps:
        raise EvidenceError(
            f"{len(certify)} certify rows and {len(plan.steps)} steps to test.", "Let more traffic pass."
        )
    expected = expected_by(router, plan.task, certify)
    signed = certify.losses[:, [rung - 1 for rung in router.manifest.rungs]]
    rows = EvidenceRows(
        ids=list(certify.prompt_ids),
        weights=np.ones(len(certify)),
        losses=_lost(signed, plan.loss),
        choices=ladder_choices(router, expected, plan.steps),
        signals=None,
        outcomes=None if router.manifest.signal == "prompt" else encode_outcomes(certify, ["certify"] * len(certify)),
    )
    return _Look(router, router.manifest, tensors, expected, rows)


def _climb(router: Router, expected: Expected, step: Step) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    manifest = router.manifest
    climbed = climb(expected, step, manifest.rungs, manifest.spreads, manifest.novelty_limit)
    return climbed.answerer, climbed.asked


def _evidence(store: Store, plan: LaidPlan, manifest: RouterManifest, attempt: int, path: str, sha256: str) -> Evidence:
    dataset = store.control.datasets.get(plan.dataset)
    if dataset is None:
        raise NotFound(f"Dataset {plan.dataset} is not stored.", "Begin anew: `freehold ladder try TASK --fresh`.")
    rungs = tuple(_rung(store, plan, manifest, number, path, sha256) for number in manifest.rungs)
    return Evidence(
        task=plan.task,
        dataset_id=dataset.dataset_id,
        dataset_sha256=dataset.sha256,
        dataset_file_sha256=dataset_file_sha256(store.data / dataset.path),
        dataset_record_sha256=store.control.datasets.digest(dataset.dataset_id),
        rungs=rungs,
        path=plan.steps,
        loss=plan.loss,
        scorer=plan.scorer,
        risk=plan.risk,
        test=plan.test,
        parameters={"second_moment": plan.moments} if plan.test == "betting" else {},
        epsilon=plan.epsilon,
        delta=plan.delta,
        attempt=attempt,
        self_disagreement=plan.self_disagreement,
        assumptions=(SAME_TRAFFIC, MEANING[plan.loss], FAIR_ROWS, _ONE_ANSWER, _SAME_MODELS),
    )


def _rung(store: Store, plan: LaidPlan, manifest: RouterManifest, number: int, path: str, sha256: str) -> CertifiedRung:
    name = plan.models[number]
    owned = name.startswith(STUDENT)
    student = store.control.students.get(name.removeprefix(STUDENT)) if owned else None
    if owned and student is None:
        raise NotFound(f"{name} is not stored.", "Begin anew: `freehold ladder try TASK --fresh`.")
    return CertifiedRung(
        kind="student" if owned else "model",
        name=student.student_id if student is not None else f"{plan.upstreams[number]}/{name}",
        sha256=student.sha256 if student is not None else "",
        record_sha256=store.control.students.digest(student.student_id) if student is not None else "",
        signal=f"ro_{sha256[:32]}",
        signal_path=path,
        signal_sha256=sha256,
        novelty_limit=manifest.novelty_limit,
    )


def _name(plan: LaidPlan, attempt: int) -> str:
    return hashlib.sha256(f"{plan.router_sha256}\n{plan.dataset}\n{attempt}".encode()).hexdigest()[:32]


def _told(given: Attempt, look: _Look, certify: Outcomes, step: Step) -> LadderAttempt:
    """The certified ladder rung by rung, and what it saved on the certify rows."""
    answerer, asked = _climb(look.router, look.expected, step)
    spent = certify.spent(look.manifest.samples)
    figures: list[RungFigures] = []
    for position, number in enumerate((*look.manifest.rungs, 0)):
        taken = answerer == number
        lost = look.rows.losses[taken, position] if number and taken.any() else None
        figures.append(
            RungFigures(
                certify.models[number],
                float(taken.mean()),
                None if lost is None else float(lost.mean()),
                float(spent[:, number].mean()),
            )
        )
    saving = 1.0 - float((spent * asked).sum()) / float(spent[:, 0].sum())
    return LadderAttempt(given.number, given.certificate, given.reason, tuple(figures), saving)
