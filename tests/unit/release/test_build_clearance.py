"""What licences and terms ask of a release: refused with the clause named, or met and said so in NOTICE."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from loop_fixtures import make_samples

from freehold.config import Settings
from freehold.config.curate_settings import Redact, Secrets
from freehold.curate.pipeline import pipeline_sha256
from freehold.domain.counsel import Decision, Fulfilment
from freehold.domain.errors import RequestError, RightsError, RightsPending
from freehold.domain.evidence import Dataset, Sample, StepCount, Student, Verdict
from freehold.domain.recalls import Recall
from freehold.domain.rights import Organisation
from freehold.domain.tasks import AnswerForm
from freehold.release.clearance import Clearance, clear
from freehold.release.data import data_part
from freehold.release.parts import Wanted, public
from freehold.rights import licences
from freehold.store import Store
from freehold.store.counsel import put_signed

TOMORROW = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)).date().isoformat()


class Made:
    """A store, and a student that was trained on answers under some terms."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store.open(folder / "data", f"sqlite:///{folder / 'data' / 'control.sqlite'}")

    def clear(self, terms: str, organisation: Organisation | None = None, **wishes: Any) -> Clearance:
        """Clear a release of the student."""
        dataset, samples = self.dataset(terms)
        verdict = dataset.verdicts[0]
        student = Student(
            student_id="st_0123456789",
            task="task_1",
            dataset_id=dataset.dataset_id,
            kind="classifier",
            path="",
            sha256="",
            verdicts=(verdict,),
            metrics={},
            created_ns=1,
        )
        settings = Settings(organisation=organisation or Organisation())
        return clear(self.store, settings, student, dataset, samples, self.wanted(**wishes))

    def wanted(self, **wishes: Any) -> Wanted:
        """Wishes with defaults."""
        wishes.setdefault("name", "urgent")
        return Wanted(student="st_0123456789", out=self.folder / "out", **wishes)

    def dataset(self, terms: str) -> tuple[Dataset, list[Sample]]:
        """A dataset of answers under these terms."""
        rows = make_samples([("one", "yes"), ("two", "no"), ("three", "yes")])
        samples = [msgspec.structs.replace(sample, terms=terms) for sample in rows]
        why = "Said (by the facts). [organisation] monthly_users is 7, the limit 9; allowed by Ada, until 2030-01-01"
        verdict = Verdict(action="train_classifier", outcome="duties", subject=terms, reason=why)
        dataset = Dataset(
            dataset_id="ds_0123456789",
            task="task_1",
            path="",
            sha256="",
            rows=3,
            parts={"fit": 1, "tune": 1, "certify": 1},
            left_out={},
            verdicts=(verdict,),
            form=AnswerForm(kind="label"),
            since_ns=1,
            until_ns=3,
            created_ns=3,
        )
        return dataset, samples

    def fulfil(self, kind: Any, text: str) -> None:
        """Record a duty as done."""
        done = Fulfilment(
            fulfilment_id=f"fu_{len(text):08x}", duty=kind, text=text, evidence="seen", fulfilled_by="Ada", created_ns=1
        )
        put_signed(self.store, done)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    made = Made(tmp_path)
    yield made
    made.store.close()


def test_terms_that_forbid_giving_the_student_on_refuse_with_clause_source_and_date(made: Made) -> None:
    with pytest.raises(RightsError) as refused:
        made.clear("openai-api")
    found = str(refused.value)
    assert "may not be given to others" in found
    assert "not distributed or sold" in found
    assert licences()["openai-api"].read in found
    assert licences()["openai-api"].texts[0].source in found
    assert "not legal advice" in found


def test_what_nobody_knows_is_refused(made: Made) -> None:
    with pytest.raises(RightsError, match="Nothing is known of the terms 'terms-of-nobody'"):
        made.clear("terms-of-nobody")


def test_the_duty_to_name_it_so_is_met_by_its_name_alone(made: Made) -> None:
    for name in ("urgent", "my Llama", "llama urgent"):
        with pytest.raises(RightsPending, match=r"llama-3\.1/students-name asks for name-prefix \(Llama\)") as refused:
            made.clear("llama-3.1", name=name)
        assert "--name 'Llama'" in refused.value.hint
    cleared = made.clear("llama-3.1", name="Llama urgent")
    (duty,) = cleared.rights.duties
    assert (duty.kind, duty.text, duty.licence, duty.clause) == ("name-prefix", "Llama", "llama-3.1", "students-name")
    notice = cleared.part.files["NOTICE"]
    assert isinstance(notice, bytes)
    assert "llama-3.1/students-name" in notice.decode()


def test_an_inherited_licence_wants_its_text_its_policy_and_no_other_licence(made: Made, tmp_path: Path) -> None:
    gemma = "gemma-tou-2025-03-24"
    policies = [
        duty.text for clause in licences()[gemma].clauses for duty in clause.duties if duty.kind == "use-policy"
    ]
    with pytest.raises(RightsPending, match=f"{gemma}/"):
        made.clear(gemma)
    for text in policies:
        made.fulfil("use-policy", text)
    with pytest.raises(RightsPending, match="licence-copy") as refused:
        made.clear(gemma)
    assert f"--licence-text {gemma} FILE" in refused.value.hint
    text = tmp_path / "gemma.txt"
    text.write_text("the terms", encoding="utf-8")
    cleared = made.clear(gemma, texts={gemma: text}, licence=gemma)
    assert cleared.part.files[f"licences/{gemma}.txt"] == b"the terms"
    assert {duty.kind for duty in cleared.rights.duties} >= {"licence-copy", "notice", "changes-marked", "use-policy"}
    (kept,) = [found for found in cleared.part.items if found.path.endswith(f"{gemma}.txt")]
    assert kept.state == "present"  # it is not the text that was read
    with pytest.raises(RightsError, match=r"Apache-2\.0 is another"):
        made.clear(gemma, texts={gemma: text}, licence="Apache-2.0")


def test_what_counsel_has_to_decide_waits_for_it(made: Made) -> None:
    with pytest.raises(RightsPending) as refused:
        made.clear("google-gemini-api")
    assert "freehold rights decide" in refused.value.hint
    decision = Decision(
        decision_id="cd_00000001",
        terms="google-gemini-api",
        purpose="train_classifier",
        allow=True,
        decided_by="counsel of the house",
        until=TOMORROW,
        created_ns=1,
    )
    put_signed(made.store, decision)
    cleared = made.clear("google-gemini-api")
    assert b"Ada" not in msgspec.json.encode(cleared.rights)
    assert "allowed by counsel" in str(cleared.rights.distribute.findings)


def test_a_release_is_a_distribution_whatever_the_organisation_says(made: Made) -> None:
    with pytest.raises(RightsError):
        made.clear("openai-api", Organisation(distributes_weights=False))


def test_a_recalled_student_is_not_released(made: Made) -> None:
    made.clear("own")
    recall = Recall(recall_id="rc_00000001", kind="provider", value="inc", created_ns=1, students=("st_0123456789",))
    made.store.control.recalls.put(recall)
    with pytest.raises(RightsError, match="was recalled"):
        made.clear("own")


def test_a_licence_of_ones_own_needs_its_text(made: Made, tmp_path: Path) -> None:
    assert "licences/mit.txt" in made.clear("own", licence="MIT").part.files
    with pytest.raises(RequestError, match="no text of the licence BSD-3-Clause"):
        made.clear("own", licence="BSD-3-Clause")
    text = tmp_path / "bsd.txt"
    text.write_text("words", encoding="utf-8")
    assert "licences/bsd-3-clause.txt" in made.clear("own", licence="BSD-3-Clause", texts={"bsd-3-clause": text})[2][0]


@pytest.mark.parametrize(
    ("terms", "wishes", "why"),
    [
        ("own", {}, "--with-data"),
        ("own", {"with_data": True}, "no step of the pipeline treats personal data"),
        ("anthropic-commercial", {"with_data": True, "reviewed_by": "Ada"}, "Rights: deny by anthropic-commercial/"),
        ("own", {"with_data": True, "reviewed_by": "Ada"}, ""),
    ],
)
def test_rows_are_shipped_only_where_rights_and_privacy_allow(
    made: Made, terms: str, wishes: dict[str, Any], why: str
) -> None:
    dataset, samples = made.dataset(terms)
    ruling = made.clear("own").rights.distribute_data
    if terms != "own":
        ruling = made.clear(terms).rights.distribute_data
    section, part = data_part(
        dataset, samples, folder=made.folder, wanted=made.wanted(**wishes), steps=(), ruling=ruling, unmet=()
    )
    assert why in section.why_not_shipped
    assert section.shipped is (why == "")
    assert ("data/rows.jsonl.zst" in part.files) is section.shipped
    lines = part.files["data/rows.txt"]
    assert isinstance(lines, bytes)
    assert len(lines.splitlines()) == 3
    assert {found.state for found in part.items if found.role == "dataset"} == {"verified" if not why else "declared"}
    record = part.files["data/dataset.json"]
    assert isinstance(record, bytes)
    assert b"Ada" not in record
    assert b"is 7" not in record


def test_steps_that_leave_certify_rows_alone_are_no_reason_to_ship_these(made: Made) -> None:
    dataset, samples = made.dataset("own")
    redacted = StepCount(step="redact", took=3, gave=3, changed=1)
    dataset = msgspec.structs.replace(dataset, steps=(redacted,))
    ruling = made.clear("own").rights.distribute_data
    for reviewer, shipped in (("", False), ("Ada", True)):
        wanted = made.wanted(with_data=True, reviewed_by=reviewer)
        section, _ = data_part(dataset, samples, folder=made.folder, wanted=wanted, steps=(), ruling=ruling, unmet=())
        assert section.shipped is shipped
        assert section.treated == ("step redact: 1 rows changed",)
    wanted = made.wanted(with_data=True)
    section, _ = data_part(dataset, samples, folder=made.folder, wanted=wanted, steps=(), ruling=ruling, unmet=("x",))
    assert section.why_not_shipped == "Rights: x"


def test_the_steps_are_in_it_if_they_are_still_the_ones_that_made_the_rows(made: Made) -> None:
    dataset, samples = made.dataset("own")
    ruling = made.clear("own").rights.distribute_data
    steps = (Redact(mode="mask"), Secrets())
    dataset = msgspec.structs.replace(dataset, pipeline_sha256=pipeline_sha256(steps))
    for now, state in ((steps, "verified"), ((Redact(), Secrets()), "declared")):
        _, part = data_part(
            dataset, samples, folder=made.folder, wanted=made.wanted(), steps=now, ruling=ruling, unmet=()
        )
        (item,) = [found for found in part.items if found.role == "pipeline"]
        assert item.state == state
        assert ("data/pipeline.json" in part.files) is (state == "verified")


def test_reasons_lose_figures_and_names_and_nothing_else() -> None:
    why = "st_1 was trained on its answers; [organisation] monthly_users is 1,000, the limit 700; by what it takes"
    assert public(why) == "st_1 was trained on its answers; by the organisation's facts; by what it takes"
    assert public("x (allowed by the legal office, until 2027-01-01)") == "x (allowed by counsel)"
    assert public("[organisation.at.2024-07-23] monthly_users is 5, the limit 9") == "by the organisation's facts"
