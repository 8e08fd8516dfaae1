"""What a change of terms concerns: everything with them anywhere in its lineage, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from test_ownership import TASK, promote, put_student

from freehold.config import Settings, UpstreamSettings
from freehold.domain.policy import Ladder, LadderModel
from freehold.domain.releases import BuiltRelease
from freehold.domain.tasks import Task
from freehold.release.affected import Affected, affected
from freehold.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    upstreams = {
        "openai": UpstreamSettings(base_url="https://api.openai.com/v1"),
        "here": UpstreamSettings(base_url="http://127.0.0.1:1/v1", terms="mit"),
    }
    return Settings(upstreams=upstreams, data_dir=str(tmp_path / "data"))


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with closing(Store.open(settings.data, settings.control_url)) as opened:
        opened.control.tasks.put(Task(task_id=TASK, name="triage"))
        yield opened


def test_all_that_rests_on_the_terms(store: Store, settings: Settings) -> None:
    under, other = put_student(store, "openai-api"), put_student(store, "own", "two")
    for number, student in enumerate((under, other)):
        release = BuiltRelease(
            release_id=f"rl_{number}",
            student=student.student_id,
            task=TASK,
            path="/somewhere",
            manifest_sha256="ab" * 32,
            created_ns=number,
        )
        store.control.releases.put(release)
    promote(store, other)
    found = affected(store, settings, {"openai-api"})
    assert found == Affected(
        upstreams=("openai",),
        datasets=(under.dataset_id,),
        students=(under.student_id,),
        tasks=("triage",),
        releases=("rl_0",),
    )
    promote(store, under)
    assert affected(store, settings, {"openai-api"}).in_force == ("triage",)
    own = LadderModel(name=f"student/{under.student_id}", path=under.path, sha256=under.sha256)
    promote(
        store,
        None,
        Ladder(router="", path="", sha256="", models=(own,), signal="prompt", certificate="", fingerprints=()),
    )
    assert affected(store, settings, {"openai-api", "xai"}).in_force == ("triage",)
    assert affected(store, settings, {"mit"}) == Affected(upstreams=("here",))
    assert not affected(store, settings, {"xai"})
