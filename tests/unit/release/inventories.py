"""Inventories of releases, for tests of the documents written from them: classical, adapted, open, and with little."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from freehold.domain.evidence import CertifiedRung, StepCount
from freehold.domain.machines import Machine, TrainingRun
from freehold.domain.rights import Duty, Finding, Ruling
from freehold.release import inventory as inv

HASH = "ab" * 32
OTHER = "cd" * 32
NS = 1_763_800_000 * 10**9
DOCUMENTS = (inv.README, inv.CYCLONEDX, inv.SPDX, inv.MOF_JSON, inv.MOF_TEXT, inv.OSAID)

_RUN = TrainingRun(
    software="freehold 0.1.0",
    code={"freehold/train/classifier.py": HASH},
    packages={"numpy": "2.1.0", "scikit-learn": "1.7.0"},
    machine=Machine(
        architecture="x86_64",
        cpu="Some CPU @ 2.0 GHz",
        flags=("avx2",),
        cores=2,
        system="Linux 6.1",
        libc="glibc 2.36",
        python="CPython 3.11.9",
        arithmetic=("openblas 0.3.29 Haswell",),
    ),
    seconds=12.0,
    cpu_seconds=11.5,
)
_RULING = Ruling(
    action="distribute",
    asset_id="st_1",
    outcome="duties",
    findings=(Finding(licence="apache-2.0", clause="redistribution", outcome="duties", says="Keep the notice."),),
    duties=(Duty(kind="notice", text="Keep NOTICE"),),
    date="2026-11-22",
)


def item(role: inv.Role, path: str = "", state: inv.State = "verified", licence: str = "", note: str = "") -> inv.Item:
    """An item; one without a path is only declared."""
    return inv.Item(
        role=role,
        path=path,
        state=state if path else "declared",
        sha256=HASH if path and role not in ("model-card", "standard") else "",
        bytes=100 if path else 0,
        licence=licence,
        note=note,
    )


def _items(licence: str) -> tuple[inv.Item, ...]:
    code = [
        item(role, inv.CODE, "present", "Apache-2.0")
        for role in ("architecture", "training-code", "inference-code", "evaluation-code", "preprocessing-code")
    ]
    return (
        item("inventory", inv.INVENTORY, "present", licence),
        item("model-card", inv.README, "present", licence),
        item("notice", inv.NOTICE, "present", licence),
        item("licence", f"{inv.LICENCES}/apache-2.0.txt", "verified"),
        item("model-manifest", inv.MODEL_MANIFEST, "verified", licence),
        item("weights", inv.MODEL_TENSORS, "verified", licence),
        item("tokenizer", note="A classical student has none."),
        item("chat-template", note="A classical student has none."),
        item("dataset-record", inv.DATASET, "verified", licence),
        item("row-hashes", inv.ROW_HASHES, "verified", licence),
        item("data-card", inv.DATA_CARD, "present", licence),
        item("pipeline", inv.PIPELINE, "present", licence),
        item("training-record", inv.TRAINING, "present", licence),
        item("lock", inv.LOCK, "present", "Apache-2.0"),
        *code,
        item("certificate", inv.CERTIFICATE, "verified", licence),
        item("evidence", inv.EVIDENCE, "verified", licence),
        item("evidence", inv.EVIDENCE_ROWS, "verified", licence),
        item("evaluation-results", inv.ITEMS, "verified", licence),
        item("tolerance", inv.TOLERANCE, "present", licence),
        item("dataset", note="The terms of openai-api do not allow it."),
        item("evaluation-data", note="The rows are not given out."),
        item("checkpoint", note="It is trained in one segment."),
        *(item("standard", path, "present", licence) for path in DOCUMENTS[1:]),
    )


def classical(licence: str = "Apache-2.0") -> inv.Inventory:
    """A classifier, whose rows are not given out."""
    return inv.Inventory(
        release_id="rel_0123",
        name="desk-router",
        description="Sorts requests to the service desk | by *team*.",
        supplier="Example Organisation",
        created_ns=NS,
        software="freehold 0.1.0",
        student_id="st_1",
        task="desk",
        task_id="ta_1",
        licence=licence,
        public_key="12" * 32,
        weights=inv.Weights(
            kind="classifier",
            architecture="Word and character n-grams, hashed; one softmax per field.",
            sha256=HASH,
            parameters=1_048_576,
            tensors=(inv.Tensor("coefficients", "float16", (4, 262_144)),),
            fields=("",),
            labels=4,
        ),
        data=inv.DataSection(
            dataset_id="ds_1",
            sha256=HASH,
            rows_root=OTHER,
            rows=900,
            parts={"fit": 500, "tune": 100, "certify": 300},
            since_ns=NS - 86_400 * 10**9,
            until_ns=NS,
            form="label",
            terms={"openai-api": 900},
            answered_by={"rented/gpt": 900},
            origins={"incumbent": 900},
            left_out={"rights": 3},
            steps=(StepCount(step="exact-duplicates", took=910, gave=900),),
            pipeline_sha256=OTHER,
            verdicts=(),
            shipped=False,
            why_not_shipped="Rights: the terms of openai-api do not allow it.",
            treated=("step pii: 12 rows changed",),
        ),
        training=inv.TrainingSection(
            method="Logistic regression on hashed n-grams.",
            seed=7,
            seeds={"folds": 7},
            run=_RUN,
            software="freehold 0.1.0",
            code_sha256=OTHER,
            same_code=True,
        ),
        evaluation=_evaluation(),
        lineage=inv.Lineage(
            student_id="st_1",
            dataset_id="ds_1",
            parent_dataset="",
            ancestors=(
                inv.Ancestor(role="teacher", asset_id="rented/gpt", licence="openai-api", name="Terms", rows=900),
            ),
        ),
        rights=inv.Rights(
            distribute=_RULING,
            distribute_data=msgspec.structs.replace(_RULING, outcome="deny"),
            duties=(
                inv.MetDuty(
                    kind="notice",
                    text="Keep NOTICE",
                    licence="apache-2.0",
                    clause="redistribution",
                    source="LICENSE",
                    date="2026-11-22",
                    how="NOTICE is in the folder.",
                ),
            ),
        ),
        costs=inv.Costs(
            cpu_seconds=11.5, watts_per_core=10.0, dollars_per_core_hour=0.05, kilowatt_hours=3.2e-05, dollars=1.6e-04
        ),
        items=_items(licence),
    )


def _evaluation() -> inv.EvaluationSection:
    rung = CertifiedRung(
        kind="student",
        name="st_1",
        sha256=HASH,
        record_sha256=OTHER,
        signal="st_1",
        signal_path="students/st_1",
        signal_sha256=HASH,
        novelty_limit=1.0,
    )
    return inv.EvaluationSection(
        certificate_id="ce_1",
        statement="With confidence 95.00%, the share of answers that differ is at most 2.00%.",
        finding="1 of 280 answers on the certify rows differ from the incumbent's.",
        loss="disagreement",
        risk="served",
        test="exact binomial",
        epsilon=0.02,
        delta_spent=0.05,
        thresholds=(0.81,),
        rungs=(rung,),
        certify_rows=300,
        accepted=280,
        loss_estimate=1 / 280,
        loss_upper=0.0168,
        coverage=280 / 300,
        assumptions=("The requests are drawn alike.",),
        public_key="34" * 32,
        issued_ns=NS,
        items=300,
        metrics={"accuracy": 0.97},
        tolerance=inv.CLASSICAL_TOLERANCE,
    )


def adapted() -> inv.Inventory:
    """A generative student: an adapter on a base model that has a licence of its own, with its data in the folder."""
    plain = classical("CC-BY-4.0")
    weights = msgspec.structs.replace(
        plain.weights,
        kind="generative",
        architecture="An adapter of rank 8 on every linear layer.",
        labels=0,
        fields=(),
        base=inv.BaseModel(
            name="someone/small-1b",
            source="https://example.org/someone/small-1b",
            revision="0f1e",
            licence="llama-3.2",
            files={"model.safetensors": OTHER, "tokenizer.json": HASH},
        ),
        tokenizer_sha256=HASH,
        template_sha256=OTHER,
    )
    base = inv.Ancestor(
        role="base",
        asset_id="someone/small-1b",
        licence="llama-3.2",
        name="Llama 3.2 Community License",
        source="https://example.org/LICENSE",
        sha256=OTHER,
        read="2026-11-20",
    )
    kept = [
        each for each in plain.items if each.role not in ("tokenizer", "chat-template", "dataset", "evaluation-data")
    ]
    items = (
        *kept,
        item("base-model", note="Get it from its maker."),
        item("tokenizer", "model/tokenizer.json", "verified", "CC-BY-4.0"),
        item("chat-template", "model/chat_template.jinja", "verified", "CC-BY-4.0"),
        item("dataset", inv.ROWS, "verified", "CC-BY-4.0"),
        item("evaluation-data", inv.ROWS, "verified", "CC-BY-4.0"),
    )
    return msgspec.structs.replace(
        plain,
        weights=weights,
        items=items,
        data=msgspec.structs.replace(plain.data, shipped=True, why_not_shipped="", licence="CC-BY-4.0"),
        lineage=msgspec.structs.replace(plain.lineage, ancestors=(*plain.lineage.ancestors, base)),
    )


def bare() -> inv.Inventory:
    """As little as a release can have: no licence, no supplier, no record of the training, nothing but the weights."""
    plain = classical("")
    return msgspec.structs.replace(
        plain,
        supplier="",
        description="",
        items=tuple(each for each in plain.items if each.role in ("weights", "certificate")),
        data=msgspec.structs.replace(plain.data, steps=(), treated=(), parts={}, terms={}, left_out={}),
        training=msgspec.structs.replace(plain.training, run=None, same_code=None),
        lineage=msgspec.structs.replace(plain.lineage, ancestors=()),
        rights=msgspec.structs.replace(
            plain.rights, duties=(), distribute=msgspec.structs.replace(_RULING, outcome="allow", duties=())
        ),
        costs=msgspec.structs.replace(plain.costs, cpu_seconds=None, kilowatt_hours=None, dollars=None),
    )


def open_science() -> inv.Inventory:
    """With everything that the Model Openness Framework asks for, from nothing, each part under an open licence."""
    plain = classical("CC-BY-4.0")
    absent = ("dataset", "evaluation-data", "checkpoint")
    items = (
        *(each for each in plain.items if each.role not in absent),
        item("dataset", inv.ROWS, "verified", "CC-BY-4.0"),
        item("evaluation-data", inv.ROWS, "verified", "CC-BY-4.0"),
        item("checkpoint", "training/checkpoint.safetensors", "present", "CC-BY-4.0"),
        item("technical-report", "report.pdf", "present", "CC-BY-4.0"),
        item("research-paper", "paper.pdf", "present", "CC-BY-4.0"),
    )
    return msgspec.structs.replace(plain, items=items)


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
_LICENCE = st.sampled_from(
    ("", "MIT", "Apache-2.0", "CC-BY-4.0", "LicenseRef-own", "our own | terms", "MIT OR Apache-2.0")
)
_ROLES: tuple[inv.Role, ...] = inv.Role.__args__
_ITEM = st.builds(
    lambda role, path, state, licence, note: item(role, path and f"extra/{path}", state, licence, note),
    st.sampled_from(_ROLES),
    st.sampled_from(("", "a.bin", "b c.txt", "d/é.json")),
    st.sampled_from(("declared", "present", "verified")),
    _LICENCE,
    _TEXT,
)


_ALL = (classical(), adapted(), bare(), open_science())


@st.composite
def inventories(draw: st.DrawFn) -> inv.Inventory:
    """Any of the four above, with other words, other items and other licences."""
    plain = draw(st.sampled_from(_ALL))
    dropped = draw(st.sets(st.sampled_from(_ROLES), max_size=6))
    items = (*(each for each in plain.items if each.role not in dropped), *draw(st.lists(_ITEM, max_size=5)))
    return msgspec.structs.replace(
        plain,
        name=draw(_TEXT.filter(str.strip)),
        description=draw(_TEXT),
        supplier=draw(_TEXT),
        task=draw(_TEXT),
        licence=draw(_LICENCE),
        created_ns=draw(st.integers(0, 4 * 10**18)),
        items=items,
        data=msgspec.structs.replace(
            plain.data,
            terms=draw(st.dictionaries(_TEXT, st.integers(0, 9), max_size=3)),
            treated=tuple(draw(st.lists(_TEXT, max_size=2))),
        ),
    )
