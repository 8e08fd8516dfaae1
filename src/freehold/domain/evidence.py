"""Samples, datasets, students, certificates: what a move rests on. All immutable; ids are content hashes where said."""

from __future__ import annotations

from typing import Literal

import msgspec

from freehold.domain.machines import TrainingRun
from freehold.domain.tasks import AnswerForm

Part = Literal["fit", "tune", "certify"]
LossName = Literal["disagreement", "harm", "signed"]
"""Of a rung's answer against the incumbent's. disagreement: 0 if they are the same, else 1. signed: score(incumbent) −
score(rung), in [−1, 1]. harm: max(0, signed), in [0, 1]."""
RiskName = Literal["served", "traffic"]
"""served: E[loss | a rung answered]. traffic: E[loss] over all requests of the task; the incumbent's lose nothing."""
TestName = Literal["exact binomial", "trinomial", "betting"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What rights say of one use of one thing. Unknown is `deny`, never a permission."""

    action: str
    outcome: Literal["allow", "deny", "duties", "needs-counsel"]
    subject: str
    """Whose terms or licence: for example `openai-api`, `apache-2.0`, `own`."""
    reason: str
    duties: tuple[str, ...] = ()
    source: str = ""
    date: str = ""
    """Date of the text the verdict rests on. Not legal advice."""
    clauses: tuple[str, ...] = ()
    """`licence/clause` of all that it rests on, the strictest first."""

    @property
    def permits(self) -> bool:
        """Whether the use may go ahead (duties permit it, and must then be met)."""
        return self.outcome in ("allow", "duties")


Origin = Literal["incumbent", "audit", "shadow", "person", "import"]
"""Whose answer a row has: the incumbent's, given to its caller or asked for in an audit; another model's; a person's;
or one that was imported."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One example: what was asked and what the incumbent answered, or what was found to be a better answer.

    Fields that are added one day must have defaults: see `freehold.store.artifacts.dataset_sha256`.
    """

    trace_id: str
    at_ns: int
    prompt: str
    """The text a student sees: see `freehold.domain.prompts.student_input`."""
    answer: str
    part: Part
    terms: str
    """The terms or licence the answer was got under."""
    input_tokens: int
    """Of the whole request, as the incumbent counted them; 0 where it did not."""
    output_tokens: int
    uniform: bool
    """Drawn from all of the task's traffic with one probability: only such samples may certify."""
    answered_by: str = ""
    """`upstream-name/model` whose answer it is."""
    source: str = ""
    """How the exchange came here, if not through the gateway."""
    origin: Origin = "incumbent"
    verdict: str = ""
    """What rights say of training with it: `allow`, or `duties`, which must then be met."""
    changed: str = ""
    """The steps that changed its text, separated by commas."""
    answer_schema: str = ""
    """The JSON Schema that its request asked the answer to keep to (`freehold.domain.chat.answer_schema`)."""


class StepCount(msgspec.Struct, frozen=True, kw_only=True):
    """What one step of curating took and gave."""

    step: str
    took: int
    gave: int
    reasons: dict[str, int] = {}
    """Why rows went → how many."""
    changed: int = 0
    """Rows that stayed and were changed."""


class DeniedTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Answers that a dataset does without, because the terms they were got under do not permit its purpose."""

    terms: str
    outcome: Literal["allow", "deny", "duties", "needs-counsel"]
    clause: str
    """`licence/clause` that decides; empty where nothing is known of the terms."""
    reason: str
    rows: int
    share: float
    """Of all whole answers of the incumbent, recalled ones left aside."""
    judged: str
    """The day for which the verdict was given."""
    read: str
    """Date of the text that it rests on. Not legal advice."""
    source: str = ""


class Dataset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An immutable, content-hashed set of samples (Parquet beside it)."""

    dataset_id: str
    task: str
    path: str
    sha256: str
    """Of the Parquet file's rows in order, as canonical MessagePack."""
    rows: int
    parts: dict[str, int]
    left_out: dict[str, int]
    """Reason → number of rows that were not taken."""
    verdicts: tuple[Verdict, ...]
    form: AnswerForm
    since_ns: int
    until_ns: int
    created_ns: int
    steps: tuple[StepCount, ...] = ()
    pipeline_sha256: str = ""
    """Of the steps' settings, as canonical JSON."""
    parent: str = ""
    """The task's dataset before this one."""
    denied: tuple[DeniedTerms, ...] = ()
    """What it does without because of rights, by terms."""


class Student(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An owned model that can be served: a folder with a manifest and safetensors."""

    student_id: str
    task: str
    dataset_id: str
    kind: Literal["classifier", "generative"]
    path: str
    sha256: str
    """Of `manifest.json`, which names the hash of every other file."""
    verdicts: tuple[Verdict, ...]
    metrics: dict[str, float]
    created_ns: int
    training: TrainingRun | None = None
    """None: it was trained before there were such records."""
    base: str = ""
    """The base model that it was trained from; empty: from random weights, or a classifier."""
    base_licence: str = ""
    parent: str = ""
    """The student whose weights or adapter it was trained on from; empty: none."""


class CertifiedRung(msgspec.Struct, frozen=True, kw_only=True):
    """One answerer of a certified ladder, and what gives the signal that it is accepted by."""

    kind: Literal["student", "model"]
    name: str
    """The student's id, or `UPSTREAM/MODEL`."""
    sha256: str
    """Of a student's manifest; empty for a rented model, whose weights nobody here can hash."""
    record_sha256: str
    """Of the student's row in the control database, which says what rights allow; empty for a rented model."""
    signal: str
    """What decides when it answers: the student's own signal (then its id), or a router (its id)."""
    signal_path: str
    """Its folder, relative to the data folder."""
    signal_sha256: str
    """Of its manifest, which names the hash of every other file."""
    novelty_limit: float

    @property
    def routed(self) -> bool:
        """Whether a router decides when it answers, and not a threshold on its own signal."""
        return self.signal != self.name


class WalkStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the fixed sequence, as it was tested."""

    thresholds: tuple[float, ...]
    """One per rung; or the numbers by which a router trades its rungs off at this step."""
    accepted: int
    """Certify rows that some rung answered."""
    loss_sum: float
    """Over these rows: the number of differing answers, for 0/1 losses."""
    p_value: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate's figures follow from, together with the rows beside it: see `freehold.store.evidence`."""

    version: int = 1
    task: str
    dataset_id: str
    dataset_sha256: str
    dataset_file_sha256: str
    """Of the bytes of the dataset's Parquet file."""
    dataset_record_sha256: str
    """Of the dataset's row in the control database."""
    rungs: tuple[CertifiedRung, ...]
    """In order of cost; the incumbent answers what none of them takes."""
    path: tuple[tuple[float, ...], ...]
    """The fixed sequence as planned, strictest first: the thresholds of each step."""
    loss: LossName
    scorer: str
    """Canonical JSON of the task's scorer; empty for `disagreement`."""
    risk: RiskName
    test: TestName
    parameters: dict[str, tuple[float, ...]] = {}
    """What the test was given besides losses, ε and the level: by name, one value for each step."""
    epsilon: float
    delta: float
    attempt: int
    self_disagreement: float | None
    """How often the incumbent disagrees with itself; None where it was not measured."""
    assumptions: tuple[str, ...]
    files: dict[str, str] = {}
    """File beside this manifest → SHA-256 of its bytes."""


CERTIFICATE_VERSION = 2
"""1 had no evidence."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A signed statement: the risk of a task's ladder is at most ε, under the assumptions listed.

    Its figures follow from the evidence, which it names by hash: `freehold certificate verify` computes them again.
    A field that is added one day must have a default, which is left out when written: then old signatures still hold.
    """

    certificate_id: str
    version: int
    task: str
    rungs: tuple[CertifiedRung, ...]
    """Certified together: the loss is that of whichever of them answers."""
    thresholds: tuple[float, ...]
    """Of the laxest step of the walk that holds."""
    dataset_id: str
    dataset_sha256: str
    evidence_path: str
    """Folder of the evidence, relative to the data folder."""
    evidence_sha256: str
    """Of the evidence's manifest, which names the hash of its rows."""
    loss: LossName
    scorer: str
    risk: RiskName
    test: TestName
    epsilon: float
    delta: float
    attempt: int
    delta_spent: float
    """δ·6/(π²·attempt²): the level this attempt was tested at."""
    certify_rows: int
    accepted: int
    loss_sum: float
    p_value: float
    loss_estimate: float
    """Of the certified risk."""
    loss_upper: float
    """Upper bound of the certified risk at `delta_spent`, for these thresholds taken by themselves."""
    coverage: float
    traffic_loss_upper: float
    """Upper bound of the loss over all traffic: what the incumbent answers loses nothing."""
    self_disagreement: float | None
    tested: tuple[WalkStep, ...]
    """The fixed sequence as it was walked."""
    assumptions: tuple[str, ...]
    software: str
    """What issued it."""
    issued_ns: int
    public_key: str = ""
    signature: str = ""


SHARED = tuple(
    name for name in Evidence.__struct_fields__ if name in Certificate.__struct_fields__ and name != "version"
)
"""What a certificate repeats of its evidence."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at when a certificate was verified."""

    name: str
    passed: bool | None
    """None: it could not be done, and the sentence says why."""
    sentence: str
    """What was found."""
    hint: str = ""
    """What to do, where it failed."""


def signed_bytes(certificate: Certificate) -> bytes:
    """The bytes that a certificate's signature covers: all of it but the signature, as canonical JSON."""
    return msgspec.json.encode(msgspec.structs.replace(certificate, signature=""), order="sorted")
