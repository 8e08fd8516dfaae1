"""Samples, datasets, students, certificates: what a move rests on. All immutable; ids are content hashes where said."""

from __future__ import annotations

from typing import Literal

import msgspec

from freehold.domain.tasks import AnswerForm

Part = Literal["fit", "tune", "certify"]


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

    @property
    def permits(self) -> bool:
        """Whether the use may go ahead (duties permit it, and must then be met)."""
        return self.outcome in ("allow", "duties")


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One example: what was asked and what the incumbent answered."""

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


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
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


class Student(msgspec.Struct, frozen=True, kw_only=True):
    """An owned model that can be served: a folder with a manifest and safetensors."""

    student_id: str
    task: str
    dataset_id: str
    kind: Literal["classifier"]
    path: str
    sha256: str
    """Of `manifest.json`, which names the hash of every other file."""
    verdicts: tuple[Verdict, ...]
    metrics: dict[str, float]
    created_ns: int


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement: P(loss ≤ ε per served request) ≥ 1 − δ, under the assumptions listed."""

    certificate_id: str
    task: str
    student: str
    student_sha256: str
    dataset_id: str
    dataset_sha256: str
    threshold: float
    novelty_limit: float
    loss: str
    """Which loss: `disagreement` (0/1) here."""
    risk: str
    """`per served request`."""
    epsilon: float
    delta: float
    attempt: int
    delta_spent: float
    """δ·6/(π²·attempt²): the level this attempt was tested at."""
    certify_rows: int
    accepted: int
    errors: int
    p_value: float
    loss_estimate: float
    loss_upper: float
    """Clopper–Pearson upper bound at `delta_spent` for the accepted requests."""
    coverage: float
    traffic_loss_upper: float
    """Upper bound of the loss over all traffic: escalated requests lose nothing."""
    self_disagreement: float | None
    """How often the incumbent disagrees with itself; None where it was not measured."""
    tested: tuple[tuple[float, int, int, float], ...]
    """The fixed sequence as it was walked: (threshold, accepted, errors, p-value)."""
    assumptions: tuple[str, ...]
    issued_ns: int
    public_key: str = ""
    signature: str = ""


def signed_bytes(certificate: Certificate) -> bytes:
    """The bytes that a certificate's signature covers: all of it but the signature, as canonical JSON."""
    return msgspec.json.encode(msgspec.structs.replace(certificate, signature=""), order="sorted")
