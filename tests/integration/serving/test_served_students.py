"""The students of a data folder: loaded by the policy in force, checked before use, swapped while streams run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from language_models import write_adapter, write_model
from student_servers import Running, running
from waiting import wait_for

pytest.importorskip("torch")
pytest.importorskip("transformers")

from freehold.domain.errors import ModelNotFound, StudentError
from freehold.domain.evidence import Student
from freehold.domain.policy import Policy, Rung, TaskPolicy
from freehold.serving.engine import answer_all
from freehold.serving.folder import BaseUsed, GenerativeManifest
from freehold.serving.gate import VOCABULARY, learn_gate, read_gate
from freehold.serving.server import StudentModels, Worker, create_server
from freehold.serving.server.models import base_sha256
from freehold.store.artifacts import adopt_student, read_student
from freehold.store.control.control import ControlStore

PROMPTS = ["hello there", "ein Test ü", "x" * 400]


class House:
    """A data folder with students, and the control store that knows them."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.url = f"sqlite:///{self.data / 'control.db'}"
        self.control = ControlStore.open(self.url)
        self.base = folder / "base"
        write_model(self.base, seed=9)
        self.used = BaseUsed(name="tiny-base", sha256=base_sha256(self.base), licence="Apache-2.0", context=256)

    def add(
        self, name: str, seed: int, *, adapter: bool = False, base: BaseUsed | None = None, schema: str = ""
    ) -> Path:
        made = self.data / f"made-{name}"
        if adapter:
            made.mkdir()
            write_adapter(made / "adapter", write_model(self.data / "again", seed=9), seed)
        else:
            write_model(made / "model", seed=seed)
        manifest = GenerativeManifest(
            task="t", dataset="d", dataset_sha256="0", seed=0, recipe={}, weights="adapter" if adapter else "full",
            base=(base or self.used) if adapter else None, context=200, max_answer_tokens=16, parameters=1,
            answer_schema=schema,
            input_tokens_fixed=0.0, input_tokens_per_character=0.25, output_tokens_per_character=0.25,
        )  # fmt: skip
        folder = self.data / "students" / name
        tensors = {VOCABULARY: learn_gate(["hello there"] * 2).vocabulary}
        sha256 = adopt_student(folder, made, msgspec.to_builtins(manifest), tensors)
        path = f"students/{name}"
        self.control.students.put(
            Student(student_id=name, task="t", dataset_id="d", kind="generative", path=path, sha256=sha256,
                    verdicts=(), metrics={}, created_ns=time.time_ns())
        )  # fmt: skip
        return folder

    def promote(self, *names: str) -> None:
        rungs = tuple(
            Rung(student=name, path=f"students/{name}", sha256="", threshold=0.5, novelty_limit=1.0, certificate="c",
                 fingerprints=(), kind="generative")
            for name in names
        )  # fmt: skip
        policy = Policy(tasks={"t": TaskPolicy(task="t", rungs=rungs)})
        self.control.publish_policy(policy, self.control.policy_version())

    def models(self, worker: Worker, **more: Any) -> StudentModels:
        return StudentModels(worker, self.data, self.control, lambda used: self.base, slots=4, **more)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.control.close()


def names(server: Running) -> list[str]:
    return server.ask("/health")[1]["models"]


def test_a_promoted_student_is_ready_before_it_is_asked_and_no_stream_drops(house: House) -> None:
    house.add("one", 1)
    house.add("two", 2)
    house.promote("one")
    worker = Worker()
    with running(create_server(house.models(worker, most=1), worker)) as server:
        assert names(server) == ["student/one"]
        client: Any = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        long: Any = {"messages": [{"role": "user", "content": "go"}], "max_tokens": 150, "temperature": 0,
                     "extra_body": {"ignore_eos": True}}  # fmt: skip
        wanted = client.chat.completions.create(model="student/one", **long).choices[0].message.content
        stop, dropped, texts = threading.Event(), list[str](), list[str | None]()

        def stream() -> None:
            while not stop.is_set():
                chunks = list(client.chat.completions.create(model="student/one", stream=True, **long))
                texts.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
                if chunks[-1].choices[0].finish_reason != "length":
                    dropped.append(str(chunks[-1]))

        threads = [threading.Thread(target=stream) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_for(lambda: texts)
        house.promote("two")
        began = time.monotonic()
        wait_for(lambda: "student/two" in names(server))
        assert time.monotonic() - began < 2.0
        house.promote("one")  # rolled back at once: it is still there
        assert "student/one" in names(server)
        stop.set()
        for thread in threads:
            thread.join()
        assert not dropped and set(texts) == {wanted}


def test_students_in_force_stay_and_others_make_room(house: House) -> None:
    for place, name in enumerate(("one", "two", "three", "four")):
        house.add(name, place)
    house.promote("one")
    worker = Worker()
    with running(create_server(house.models(worker, most=2), worker)) as server:
        for name in ("two", "three", "two", "four"):
            assert server.chat(f"student/{name}")[0] == 200
        assert set(names(server)) == {"student/one", "student/two", "student/four"}
        wait_for(lambda: len(worker.engines) == 3)
        assert server.chat("student/three")[0] == 200
        assert server.chat("student/nobody")[0] == 404
        assert server.chat("nobody")[0] == 404
        assert server.ask("/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "b"})[0] == 403
        answer = server.chat("student/one", max_tokens=None, ignore_eos=True)[1]
        assert answer["usage"]["completion_tokens"] == 16  # the manifest's


def test_what_was_changed_is_refused_and_the_others_go_on(house: House) -> None:
    house.add("good", 1)
    bad = house.add("bad", 2) / "model" / "model.safetensors"
    bad.write_bytes(bad.read_bytes()[:-1] + b"\x01")
    house.promote("good", "bad")
    worker = Worker()
    with running(create_server(house.models(worker), worker)) as server:
        health = server.ask("/health")[1]
        assert health["models"] == ["student/good"]
        assert "hash differs" in health["failed"]["student/bad"]
        status, document, _ = server.chat("student/bad")
        assert (status, document["error"]["code"]) == (503, "student_error")
        assert server.chat("student/good")[0] == 200


def test_adapters_share_their_base_which_must_be_the_one_they_were_trained_on(house: House) -> None:
    house.add("one", 1, adapter=True)
    house.add("two", 2, adapter=True)
    house.add("other", 3, adapter=True, base=msgspec.structs.replace(house.used, sha256="0" * 64))
    worker = Worker()
    models = house.models(worker)
    one, two = models.get("student/one"), models.get("student/two")
    assert one.engine is two.engine and one.adapter is not two.adapter
    with pytest.raises(StudentError, match="trained on tiny-base as it was then"):
        models.get("student/other")
    with pytest.raises(ModelNotFound):
        models.get("student/none")
    fresh = house.models(Worker())
    shutil.copytree(house.base, house.base.with_name("kept"))
    config = json.loads((house.base / "generation_config.json").read_text())
    (house.base / "generation_config.json").write_text(json.dumps({**config, "top_k": 7}))
    with pytest.raises(StudentError, match="changed since"):
        fresh.get("student/one")
    assert models.ready("student/one") is one


def test_answers_without_a_server_have_its_signals(house: House) -> None:
    for name, adapter in (("whole", False), ("part", True)):
        folder = house.add(name, 5, adapter=adapter)
        record = house.control.students.get(name)
        assert record is not None
        gate = read_gate(*read_student(folder, record.sha256))
        found = answer_all(folder, gate.manifest, house.base, PROMPTS, gate)
        assert [answer.novelty for answer in found] == [gate.novelty(prompt) for prompt in PROMPTS]
        assert found[2].text == "" and found[2].signal == 0.0  # longer than the context
        worker = Worker()
        with running(create_server(house.models(worker), worker)) as server:
            for prompt, answer in zip(PROMPTS[:2], found, strict=False):
                choice = server.chat(f"student/{name}", prompt, max_tokens=16, logprobs=True)[1]["choices"][0]
                assert choice["message"]["content"] == answer.text
                assert (choice["finish_reason"] == "stop") == (answer.signal > 0)


def test_answers_are_kept_to_the_students_schema(house: House) -> None:
    """Random weights say anything."""
    free, bound = house.add("free", 5), house.add("bound", 5, schema='{"enum": [1, 2]}')
    for folder, kept in ((free, False), (bound, True)):
        record = house.control.students.get(folder.name)
        assert record is not None
        gate = read_gate(*read_student(folder, record.sha256))
        found = answer_all(folder, gate.manifest, None, PROMPTS[:2], gate)
        assert all((answer.text in ("1", "2") and answer.signal > 0) == kept for answer in found)


def test_the_command_serves_the_students_of_a_configuration(house: House, tmp_path: Path) -> None:
    house.add("one", 1)
    house.promote("one")
    (tmp_path / "freehold.toml").write_text(f'data_dir = "{house.data}"\n')
    command = [sys.executable, "-m", "freehold.cli.main", "student", "serve", "--json", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--config", str(tmp_path / "freehold.toml")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        server = Running(json.loads(process.stdout.readline())["url"])
        assert server.ask("/health")[1]["status"] == "ok"
    finally:
        process.terminate()
        process.wait(20)
