"""Everything that is in a release, in one place: what every standard's document is written from. No I/O.

A release is a folder, whole and closed:

    manifest.json               format, release id, and of every other file but the next: path, role, bytes, SHA-256
    manifest.sig                Ed25519 over the exact bytes of manifest.json: algorithm, public key, signature
    model.sig                   where it was asked for: a signature by the model-signing project, over every file but
                                the two above and itself
    inventory.json              this inventory
    README.md                   the model card, as Hugging Face reads it
    NOTICE                      every duty, and how it is met
    licences/ID.txt             texts of the licences in the lineage, as far as the package has them
    model/manifest.json         the student's own manifest, as it was certified (its SHA-256 is the student's)
    model/tensors.safetensors   the weights of a classifier; of a generative student its gate, and notes of the training
    model/model/…, model/adapter/…   a generative student's weights and tokenizer, as Hugging Face's libraries read them
    data/dataset.json           the dataset's record
    data/rows.txt               SHA-256 of each row, in order, one a line
    data/rows.jsonl.zst         the rows themselves, in order, where rights and privacy allow
    data/card.md                the dataset's card
    data/pipeline.json          the settings of the steps that made it, where they are still known
    training/training.json      the run: seeds, settings, method, machine, code hashes, CPU seconds, cost
    training/lock.txt           the installed versions, as pip reads them
    training/code.zip           the sources of the package
    evaluation/certificate.json the signed certificate
    evaluation/evidence.json    what its figures follow from, and rows.parquet (outcomes.parquet) beside it
    evaluation/items.jsonl      per certify row: output, signal, novelty, loss
    evaluation/tolerance.json   how far a repetition may be off
    documents/…                 a technical report and a paper, where they were given
    standards/…                 cyclonedx.json, spdx.json, mof.json, mof.md, osaid.json

docs/release.md is the full account, for whoever writes or checks such a folder with another tool.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from freehold.domain.evidence import CertifiedRung, StepCount, Verdict
from freehold.domain.machines import TrainingRun
from freehold.domain.rights import DutyKind, Kind, Ruling
from freehold.domain.rights import Role as ParentRole
from freehold.rights.words import NOTICE as NOT_LEGAL_ADVICE

FORMAT = "freehold-release/1"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
MODEL_SIGNATURE = "model.sig"
INVENTORY = "inventory.json"
README = "README.md"
NOTICE = "NOTICE"
LICENCES = "licences"
MODEL_MANIFEST = "model/manifest.json"
MODEL_TENSORS = "model/tensors.safetensors"
DATASET = "data/dataset.json"
ROW_HASHES = "data/rows.txt"
ROWS = "data/rows.jsonl.zst"
DATA_CARD = "data/card.md"
PIPELINE = "data/pipeline.json"
TRAINING = "training/training.json"
LOCK = "training/lock.txt"
CODE = "training/code.zip"
CERTIFICATE = "evaluation/certificate.json"
EVIDENCE = "evaluation/evidence.json"
EVIDENCE_ROWS = "evaluation/rows.parquet"
EVIDENCE_OUTCOMES = "evaluation/outcomes.parquet"
ITEMS = "evaluation/items.jsonl"
TOLERANCE = "evaluation/tolerance.json"
CYCLONEDX = "standards/cyclonedx.json"
SPDX = "standards/spdx.json"
MOF_JSON = "standards/mof.json"
MOF_TEXT = "standards/mof.md"
OSAID = "standards/osaid.json"
NO_LICENCE = ""
"""Nobody has said under which licence: no permission."""

State = Literal["declared", "present", "verified"]
"""declared: somebody says so; present: it is in the folder, under this hash; verified: and was found to be what it is
said to be, when the release was built."""
Role = Literal[
    "inventory",
    "model-card",
    "technical-report",
    "research-paper",
    "notice",
    "licence",
    "architecture",
    "weights",
    "model-manifest",
    "gate",
    "base-model",
    "tokenizer",
    "chat-template",
    "dataset-record",
    "row-hashes",
    "dataset",
    "data-card",
    "pipeline",
    "training-record",
    "lock",
    "training-code",
    "inference-code",
    "evaluation-code",
    "preprocessing-code",
    "certificate",
    "evidence",
    "evaluation-results",
    "evaluation-data",
    "tolerance",
    "checkpoint",
    "standard",
    "signature",
]


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing in the release; several may lie in one file (the code of training and of evaluating)."""

    path: str = ""
    """Relative to the folder, with `/`; empty for what is only told of, or does not exist (then `note` says so)."""
    role: Role
    state: State
    sha256: str = ""
    """Of the file's bytes; empty for documents that are written from this inventory: manifest.json has theirs."""
    bytes: int = 0
    licence: str = NO_LICENCE
    """SPDX id under which it is given; empty: nobody has said."""
    media_type: str = ""
    note: str = ""
    """What was verified, or why it is only declared."""


class Tensor(msgspec.Struct, frozen=True):
    """One array of the weights."""

    name: str
    dtype: str
    """As NumPy writes it: `float16`."""
    shape: tuple[int, ...]


class BaseModel(msgspec.Struct, frozen=True, kw_only=True):
    """The model whose weights were trained on."""

    name: str
    source: str
    revision: str
    """What names its bytes; of a base that Freehold trained from, the SHA-256 over the lines `SHA256  NAME` (two
    spaces, a line feed after each) of its files in order of name."""
    licence: str
    files: dict[str, str]
    """File → SHA-256; empty where they are no longer at hand: `revision` names them all."""


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """The student."""

    kind: Kind
    architecture: str
    """In a sentence."""
    format: Literal["safetensors"] = "safetensors"
    sha256: str
    """Of the student's manifest, which names the hash of every file of the student."""
    parameters: int
    """Numbers in the tensors of the release that answers are computed from: of an adapter, its own."""
    tensors: tuple[Tensor, ...]
    fields: tuple[str, ...] = ()
    """Of a classifier: the fields of an answer, as JSON paths; a single label has the empty path."""
    labels: int = 0
    """Values it can give, all fields together."""
    base: BaseModel | None = None
    """None: it was trained from nothing."""
    tokenizer_sha256: str = ""
    """Empty: it has none."""
    template_sha256: str = ""
    """Of its chat template; empty: it has none."""
    adapter: bool = False
    """Whether it answers only together with its base, whose weights are not in the release."""
    context: int = 0
    """Of a generative student: tokens that prompt and answer may have together."""


class DataSection(msgspec.Struct, frozen=True, kw_only=True):
    """What it was trained and certified on."""

    dataset_id: str
    sha256: str
    """Of the rows: see `freehold.store.artifacts.dataset_sha256`."""
    rows_root: str
    """SHA-256 of data/rows.txt."""
    rows: int
    parts: dict[str, int]
    since_ns: int
    until_ns: int
    form: str
    """`label` or `json`."""
    terms: dict[str, int]
    """Terms under which the answers were got → rows."""
    answered_by: dict[str, int]
    origins: dict[str, int]
    left_out: dict[str, int]
    steps: tuple[StepCount, ...]
    pipeline_sha256: str
    verdicts: tuple[Verdict, ...]
    shipped: bool
    why_not_shipped: str = ""
    treated: tuple[str, ...] = ()
    """What the pipeline did for the privacy of those whom rows tell of; rows to certify on stay as they came."""
    reviewed_by: str = ""
    """Who looked at the rows and says that they may be given to others; empty: nobody."""
    licence: str = NO_LICENCE


class TrainingSection(msgspec.Struct, frozen=True, kw_only=True):
    """How it was trained."""

    method: str
    seed: int
    seeds: dict[str, int]
    """What is drawn with it → seed."""
    run: TrainingRun | None
    """As recorded while it was trained; None: unknown, it was trained before there were such records."""
    software: str
    """What built the release."""
    code_sha256: str
    """Of the code in training/code.zip: see `freehold.runners.machine.code_digest`."""
    same_code: bool | None
    """Whether that is the code the student was trained by; None: unknown."""
    recipe: dict[str, Any] = {}
    """Of a generative student: the whole recipe, as it was used."""


class Tolerance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far an evaluation that is run again may be off, per item. Outputs must be equal."""

    loss: float = 0.0
    signal: float = 0.0
    novelty: float = 0.0


CLASSICAL_TOLERANCE = Tolerance(loss=0.0, signal=1e-5, novelty=1e-6)
"""Answers and losses are equal on any machine; signals are sums of 32-bit floats, whose order is the library's. What a
release of a classical student states may be stricter than this, never laxer."""
GENERATIVE_TOLERANCE = Tolerance(loss=0.0, signal=1e-3, novelty=1e-6)
"""The signal is exp of a sum over up to some hundred tokens, of each of which another processor gives the last two
digits of a 32-bit float otherwise. Outputs must be equal all the same: on the type of machine that `computed_on` tells
of they are, and elsewhere a choice between two tokens that are as good as equal may fall otherwise."""
TOLERANCES: dict[Kind, Tolerance] = {"classifier": CLASSICAL_TOLERANCE, "generative": GENERATIVE_TOLERANCE}


class EvaluatedItem(msgspec.Struct, frozen=True, kw_only=True):
    """A line of evaluation/items.jsonl: one certify row, in the order of evaluation/rows.parquet."""

    row: int
    """Its place in data/rows.txt, from 0."""
    sha256: str
    """The row's hash, as there."""
    output: str
    """The student's answer."""
    signal: float
    novelty: float
    loss: float
    """Against the row's answer, as in evaluation/rows.parquet."""


class EvaluationSection(msgspec.Struct, frozen=True, kw_only=True):
    """How good it was found to be."""

    certificate_id: str
    statement: str
    """The claim in a sentence."""
    finding: str
    loss: str
    risk: str
    test: str
    epsilon: float
    delta_spent: float
    thresholds: tuple[float, ...]
    rungs: tuple[CertifiedRung, ...]
    certify_rows: int
    accepted: int
    loss_estimate: float
    loss_upper: float
    coverage: float
    assumptions: tuple[str, ...]
    public_key: str
    """Of whoever signed the certificate."""
    issued_ns: int
    items: int
    """Lines of evaluation/items.jsonl."""
    metrics: dict[str, float]
    """Figures of the training: cross-fitted ones of a classifier."""
    tolerance: Tolerance
    computed_on: dict[str, str] = {}
    """What the outputs of a generative student depend on beside its weights, where they were computed."""


class Ancestor(msgspec.Struct, frozen=True, kw_only=True):
    """A licence or terms in the lineage."""

    role: ParentRole
    asset_id: str
    licence: str
    """Id in the table of clauses."""
    name: str
    spdx: str = ""
    source: str = ""
    """Of the text."""
    sha256: str = ""
    """Of the text; empty where it was not kept."""
    read: str = ""
    """Day on which the text was read."""
    text: str = ""
    """Path in the release; empty: the package has no text of it."""
    rows: int = 0
    """Rows of the dataset got under it."""


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What it was made of."""

    student_id: str
    dataset_id: str
    parent_dataset: str
    ancestors: tuple[Ancestor, ...]


class MetDuty(msgspec.Struct, frozen=True, kw_only=True):
    """A duty of distributing, and how this release meets it."""

    kind: DutyKind
    text: str
    licence: str
    clause: str
    source: str
    date: str
    how: str


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """What may be done with it, and what had to be done first."""

    distribute: Ruling
    """Of the weights."""
    distribute_data: Ruling
    """Of the rows, whether they were wanted or not."""
    duties: tuple[MetDuty, ...]
    notice: str = NOT_LEGAL_ADVICE


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Of the training run: measured CPU seconds times stated assumptions."""

    cpu_seconds: float | None
    """Measured; None: unknown."""
    watts_per_core: float
    """Assumed, of a busy core and all that it needs."""
    dollars_per_core_hour: float
    """Assumed."""
    kilowatt_hours: float | None
    """Measured times assumed."""
    dollars: float | None
    """Measured times assumed."""


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """One release: inventory.json is this as canonical JSON (keys sorted, no spaces, UTF-8)."""

    format: str = FORMAT
    release_id: str
    name: str
    description: str
    supplier: str
    """Who gives it out; empty: not said."""
    created_ns: int
    software: str
    """What built it."""
    student_id: str
    task: str
    """Its name."""
    task_id: str
    licence: str
    """SPDX id of the licence that the weights, outputs and documents are given under; empty: none, all rights
    reserved."""
    public_key: str
    """Of whoever signs the manifest; trust one that you got elsewhere."""
    weights: Weights
    data: DataSection
    training: TrainingSection
    evaluation: EvaluationSection
    lineage: Lineage
    rights: Rights
    costs: Costs
    items: tuple[Item, ...]

    def items_of(self, *roles: Role) -> tuple[Item, ...]:
        """The items of these roles, in order."""
        return tuple(item for item in self.items if item.role in roles)


class ManifestFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the release."""

    path: str
    role: Role
    bytes: int
    sha256: str


class ReleaseManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """manifest.json: canonical JSON. Every file of the folder but manifest.json and manifest.sig is in `files`, in
    order of path, and there is nothing else in the folder, no empty folder either."""

    format: str = FORMAT
    release_id: str
    files: tuple[ManifestFile, ...]


class ReleaseSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """manifest.sig: canonical JSON."""

    algorithm: Literal["ed25519"] = "ed25519"
    public_key: str
    """64 hex digits in lower case. A convenience: whoever verifies brings the key that they trust."""
    signature: str
    """128 hex digits in lower case, of the exact bytes of manifest.json."""


_canonical = msgspec.json.Encoder(order="sorted")


def canonical_json(value: object) -> bytes:
    """UTF-8 JSON with the keys of all objects sorted and no spaces: the form of every JSON file that is written here.

    There is no line feed at the end, and floats are written in the shortest form that reads back the same.
    """
    return _canonical.encode(value)
