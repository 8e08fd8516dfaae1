"""Routers that look at embeddings, with real models of random weights: a tiny BERT, and a vector per word."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from ladder_fixtures import CHEAP, INCUMBENT, Question, Recorded, body, ladder_settings, questions
from numpy.typing import NDArray
from outcome_maker import make_outcomes

from freehold.cli.doctor import doctor_command
from freehold.config import Settings
from freehold.domain.errors import StudentError
from freehold.evaluate import verify_certificate
from freehold.gateway import RunningGateway, serve_in_thread
from freehold.loop import LadderMove, new_ladder
from freehold.loop.ladders import Terms, build_ladder, router_of, split
from freehold.signals import embed
from freehold.signals.embed import SentenceEmbedder, embedder_for, load_embedder
from freehold.signals.ladder import climb
from freehold.signals.router import Router, Signal, build_router
from freehold.signals.text import hash_all, hash_text
from freehold.store.artifacts import read_router
from freehold.train.ladder import expect, prepare
from freehold.upstreams.recorded import RecordedAnswer, RecordedAnswers
from freehold.upstreams.recorded import serve_in_thread as serve_recorded

_REASON = "needs `pip install 'freehold[embed]'`"
library: Any = pytest.importorskip("sentence_transformers", reason=_REASON)
modules: Any = pytest.importorskip("sentence_transformers.sentence_transformer.modules", reason=_REASON)
torch: Any = pytest.importorskip("torch", reason=_REASON)
transformers: Any = pytest.importorskip("transformers", reason=_REASON)
tokenizers: Any = pytest.importorskip("tokenizers", reason=_REASON)
safetensors_torch: Any = pytest.importorskip("safetensors.torch", reason=_REASON)

DIMENSIONS = 32
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] add give sum city lies near place prove number divides product over primes
which has the then name step by ? . , :"""
VOCABULARY = {word: row for row, word in enumerate((*WORDS.split(), *LETTERS, *(f"##{letter}" for letter in LETTERS)))}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of 32 dimensions, saved as sentence-transformers saves them."""
    raw, folder = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    (raw / "vocab.txt").write_text("\n".join(VOCABULARY))
    transformers.BertTokenizerFast(str(raw / "vocab.txt"), model_max_length=64).save_pretrained(raw)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=DIMENSIONS,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(raw)
    parts = [modules.Transformer(str(raw)), modules.Pooling(DIMENSIONS)]
    library.SentenceTransformer(modules=parts, device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vector per word, of which a text's is the mean."""
    folder = tmp_path_factory.mktemp("table")
    torch.manual_seed(0)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    static = modules.StaticEmbedding(tokenizer, embedding_dim=DIMENSIONS)
    library.SentenceTransformer(modules=[static], device="cpu").save(str(folder))
    return folder


@pytest.fixture(params=["bert", "table"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def test_what_an_embedder_gives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an embedder is loaded without a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    embedder, again = SentenceEmbedder(folder), SentenceEmbedder(folder)
    texts = ["", "Add 3 and 4.", "\ud800 \x00", "zzz " * 400, "which city " * 10_000, "Q" * 100_000]
    together = embedder.embed_all(texts)
    assert together.shape == (6, embedder.dimensions) == (6, DIMENSIONS) and together.dtype == np.float32
    lengths = np.linalg.norm(together, axis=1)
    assert np.allclose(lengths[1:], 1.0, atol=1e-6) and (abs(lengths[0] - 1.0) < 1e-6 or lengths[0] == 0.0)
    for row, text in enumerate(texts):
        alone = embedder.embed(text)
        assert alone.tolist() == again.embed(text).tolist() == embedder.embed(text).tolist()
        assert np.allclose(alone, together[row], atol=1e-5)
    long = "which city " * 10_000
    read = hash_text(long, embedder).embedding
    assert read is not None and np.allclose(read, embedder.embed(f"{long[:1000]} {long[-400:]}"), atol=1e-6)


def test_half_precision_is_read_as_single(table: Path, bert: Path, tmp_path: Path) -> None:
    for source in (table, bert):
        saved = tmp_path / source.name
        library.SentenceTransformer(str(source), device="cpu").half().save(str(saved))
        halved, whole = SentenceEmbedder(saved).embed("Add 3."), SentenceEmbedder(source).embed("Add 3.")
        assert abs(float(np.linalg.norm(halved)) - 1.0) < 1e-6 and np.allclose(halved, whole, atol=5e-3)


def test_no_code_and_no_pickle_of_a_folder_is_loaded(bert: Path, table: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    evil = shutil.copytree(table, tmp_path / "evil")
    (evil / "modeling_evil.py").write_text(
        f"open({str(ran)!r}, 'w').close()\nfrom {modules.__name__} import StaticEmbedding as Evil\n"
    )
    parts = json.loads((evil / "modules.json").read_text())
    parts[0]["type"] = "modeling_evil.Evil"
    (evil / "modules.json").write_text(json.dumps(parts))
    with pytest.raises(StudentError, match="is not run"):
        SentenceEmbedder(evil)
    remote = shutil.copytree(bert, tmp_path / "remote")
    config = json.loads((remote / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "modeling_evil.C", "AutoModel": "modeling_evil.M"}}
    (remote / "config.json").write_text(json.dumps(config))
    shutil.copy(evil / "modeling_evil.py", remote)
    with pytest.raises(StudentError, match="cannot be loaded"):
        SentenceEmbedder(remote)
    assert not ran.exists()
    for source in (bert, table):
        pickled = shutil.copytree(source, tmp_path / f"pickled-{source.name}")
        torch.save(safetensors_torch.load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
        SentenceEmbedder(pickled)  # the pickle lies beside the safetensors, and is not looked at
        (pickled / "model.safetensors").unlink()
        with pytest.raises(StudentError, match="a pickle"):
            SentenceEmbedder(pickled)
        (pickled / "pytorch_model.bin").rename(pickled / "other.bin")
        with pytest.raises(StudentError, match="cannot be loaded"):
            SentenceEmbedder(pickled)
        (pickled / "model.safetensors").write_bytes(b"\x00" * 64)
        with pytest.raises(StudentError, match="cannot be loaded"):
            SentenceEmbedder(pickled)


@pytest.mark.parametrize("signal", ["prompt", "cascade"])
def test_a_router_with_an_embedder_decides_one_by_one_as_all_at_once(folder: Path, signal: Signal) -> None:
    embedder = load_embedder(folder)
    outcomes, fresh = make_outcomes(500, seed=3, answers=True), make_outcomes(100, seed=4, answers=True)
    rows = prepare(outcomes, hash_all(outcomes.prompts, embedder), signal)
    built = build_ladder(rows, split(rows.groups, 1), Terms(0.05, 0.05, "traffic", "signed", signal))
    manifest, tensors = router_of(built, outcomes.models, rows.mean_cost)
    assert manifest.prompts.embedded == DIMENSIONS
    with pytest.raises(StudentError, match="wants an embedder"):
        Router(manifest, tensors)
    router = Router(manifest, tensors, embedder)
    others = prepare(fresh, hash_all(fresh.prompts, embedder), signal)
    expected = expect(built.prompts, built.fitted, others)
    found = [router.predict(task, prompt) for task, prompt in zip(fresh.tasks, fresh.prompts, strict=True)]
    assert np.allclose([one.losses for one in found], expected.losses, atol=1e-4)
    assert np.allclose([one.novelty for one in found], expected.novelty, atol=1e-4)
    other = Router(manifest, tensors, _Turned(embedder)).predict(fresh.tasks[0], fresh.prompts[0])
    assert not np.allclose(found[0].losses, other.losses), "the embedding is looked at"
    if signal == "prompt":
        fitted, step = built.fitted, built.step
        assert step is not None
        climbed = climb(expected, step, fitted.rungs, fitted.spreads, built.laid.ladder.novelty_limit)
        assert [router.next_rung(one) if router.knows(one) else 0 for one in found] == climbed.answerer.tolist()
        assert 0 < (climbed.answerer > 0).sum() < 100


class _Turned:
    """Another embedder of as many dimensions."""

    def __init__(self, embedder: SentenceEmbedder) -> None:
        self.dimensions, self._embedder = embedder.dimensions, embedder

    def embed(self, text: str) -> NDArray[np.float32]:
        return -self._embedder.embed(text)

    def embed_all(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return -self._embedder.embed_all(texts)


def _asked(gateway: RunningGateway, question: Question) -> tuple[str, str]:
    """Who answered, and what."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.request("POST", "/v1/chat/completions", body(question.prompt), {"content-type": "application/json"})
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    connection.close()
    assert reply.status == 200, answer
    return reply.headers["x-freehold-answered-by"], answer["choices"][0]["message"]["content"]


def _until(true: Callable[[], bool]) -> None:
    deadline, waited = time.monotonic() + 60.0, threading.Event()
    while not true():
        assert time.monotonic() < deadline
        waited.wait(0.02)


def test_from_the_evidence_to_the_gateway(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ladder is fitted, certified and served with an embedder, which the gateway loads once, off its event loop."""
    folder = shutil.copytree(table, tmp_path / "model")
    fresh = list(questions(2, 60))
    answers = [
        RecordedAnswer(prompt=q.prompt, response=q.answers[model], model=model, input_tokens=40, output_tokens=2)
        for q in fresh
        for model in (INCUMBENT, CHEAP)
    ]
    with serve_recorded(RecordedAnswers(answers)) as models:
        plain = ladder_settings(tmp_path / "data", candidates=(CHEAP,))
        upstream = msgspec.structs.replace(plain.upstreams["inc"], base_url=models.base_url, models=(INCUMBENT, CHEAP))
        ours = msgspec.structs.replace(plain.candidates, signals=("prompt",), embedder=str(folder), rate=0.0)
        settings = msgspec.structs.replace(plain, upstreams={"inc": upstream}, candidates=ours)
        desk = Recorded(settings)
        for question in questions(1, 900):
            desk.record(question, models=(CHEAP,))
        desk.seal()
        job = LadderMove(desk.store, settings, new_ladder(desk.store, desk.task_id)).run()
        entry = desk.store.control.current_policy().tasks[desk.task_id]
        assert job.state == "done" and entry.ladder is not None
        whole = verify_certificate(desk.store, entry.ladder.certificate, embedder=desk.settings.candidates.embedder)
        assert all(check.passed for check in whole.checks), whole.checks
        manifest, tensors = read_router(desk.store.data / entry.ladder.path, entry.ladder.sha256)
        embedder = embedder_for(str(folder), manifest)
        assert embedder is not None and manifest["prompts"]["embedder"] == embedder.sha256
        router = build_router(manifest, tensors, embedder)
        threads, asked_in = _count_loads(monkeypatch), _where_asked(monkeypatch)
        with serve_in_thread(settings) as gateway:
            watch, control = gateway.runtime.watch, desk.store.control
            _until(lambda: desk.task_id in watch.view.ladders and not watch.stale)
            moved = 0
            for question in fresh:
                seen = router.predict(desk.task_id, question.prompt)
                model = CHEAP if router.knows(seen) and router.next_rung(seen) else INCUMBENT
                moved += model == CHEAP
                assert _asked(gateway, question) == (f"inc/{model}", question.answers[model])
            assert 10 < moved < 60
            pools = {name.partition("_")[0] for name in asked_in if name != threading.current_thread().name}
            assert pools <= {"uvloop", "asyncio", "policy-watch"}, "not in the event loop"
            for _ in range(2):  # the ladder goes and comes back: what it reads with stays
                policy = control.current_policy()
                gone = msgspec.structs.replace(policy, tasks={})
                back = msgspec.structs.replace(policy, tasks={desk.task_id: entry})
                for each in (gone, back):
                    version = control.publish_policy(each, control.policy_version()).version
                    _until(lambda version=version: watch.view.policy.version == version)
                _until(lambda: desk.task_id in watch.view.ladders)
            assert threads == ["policy-watch"]
        config = _config(tmp_path, settings, folder)
        assert _doctor(config)["embedder"] == "ok" and _doctor(config)[f"ladder of {desk.task_id}"] == "ok"
        (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + "\n")
        assert _doctor(config)["embedder"] == "ok" and _doctor(config)[f"ladder of {desk.task_id}"] == "error"
        shutil.rmtree(folder)
        assert _doctor(config)["embedder"] == "error"
        with serve_in_thread(settings) as gateway:
            _until(lambda: desk.task_id in gateway.runtime.watch.view.unusable)
            assert {_asked(gateway, question)[0] for question in fresh[:5]} == {f"inc/{INCUMBENT}"}
            assert any("freehold doctor" in said for said in gateway.runtime.degraded())
        desk.close()


def _count_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads in which models are loaded from now on."""
    embed._loaded.cache_clear()
    threads: list[str] = []
    load = SentenceEmbedder.__init__

    def counted(self: SentenceEmbedder, folder: Path) -> None:
        threads.append(threading.current_thread().name)
        load(self, folder)

    monkeypatch.setattr(SentenceEmbedder, "__init__", counted)
    return threads


def _where_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads in which texts are embedded from now on."""
    threads: list[str] = []
    embed_one = SentenceEmbedder.embed

    def counted(self: SentenceEmbedder, text: str) -> NDArray[np.float32]:
        threads.append(threading.current_thread().name)
        return embed_one(self, text)

    monkeypatch.setattr(SentenceEmbedder, "embed", counted)
    return threads


def _config(tmp_path: Path, settings: Settings, folder: Path) -> Path:
    path, inc = tmp_path / "freehold.toml", settings.upstreams["inc"]
    path.write_text(
        f'data_dir = "data"\n[candidates]\nembedder = "{folder}"\nmodels = ["{CHEAP}"]\n'
        f'[upstreams.inc]\nbase_url = "{inc.base_url}"\nterms = "own"\nkeyless = true\n'
        f'models = ["{INCUMBENT}", "{CHEAP}"]\n[upstreams.inc.prices]\n"*" = {{input = 1.0, output = 1.0}}\n'
    )
    return path


def _doctor(config: Path) -> dict[str, str]:
    """The level of each check."""
    done = CliRunner().invoke(doctor_command, ["--json", "--config", str(config)])
    return {check["what"]: check["level"] for check in json.loads(done.stdout)}
