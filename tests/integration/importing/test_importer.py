"""Imports of whole files: nothing doubled, nothing lost, whatever happens in between; and bounded memory."""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import import_examples as examples
import otlp_examples as otlp
import polars as pl
import pytest
import zstandard

from freehold.domain.errors import LeaseHeld, RequestError, StoreError
from freehold.domain.fingerprint import TemplateIndex
from freehold.record.derive import Deriver
from freehold.record.importing import importer as module
from freehold.record.importing.exchange import Options
from freehold.record.importing.formats import FORMATS, detect
from freehold.record.importing.importer import Importer
from freehold.record.sealer import Sealer
from freehold.route.identify import Identifier, task_name
from freehold.store import Store, exclusive
from freehold.store.traces.read import read_feedback, read_traces

Rows = list[dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", f"sqlite:///{tmp_path / 'control.sqlite'}")
    yield opened
    opened.close()


def importer(store: Store, name: str, **more: Any) -> Importer:
    identifier, index = Identifier(), TemplateIndex(())
    options = Options(source=name, key=more.pop("key", None), upstream=more.pop("upstream", ""))
    return Importer(
        store,
        FORMATS[name],
        options,
        lambda request, name: identifier.identify(request, task_name(request, name), index),
        **more,
    )


def traces(store: Store) -> pl.DataFrame:
    return read_traces(store, derive=Deriver({}))


def chats(count: int, start: int = 0) -> Rows:
    return [
        {
            "messages": [
                {"role": "system", "content": "Sort the mail."},
                {"role": "user", "content": f"message {number}"},
                {"role": "assistant", "content": "ab"[number % 2]},
            ]
        }
        for number in range(start, start + count)
    ]


def write(path: Path, rows: Rows) -> Path:
    path.write_bytes(examples.lines(rows))
    return path


def test_importing_twice_changes_nothing_however_it_is_cut_and_packed(store: Store, tmp_path: Path) -> None:
    rows = chats(500)
    report, rejects = importer(store, "openai-chat").run([write(tmp_path / "a.jsonl", rows)])
    assert (report.traces, report.known, report.rejected, rejects) == (500, 0, 0, None)
    before = traces(store).select("trace_id", "request", "response", "task").sort("trace_id")
    Sealer(store, {}).seal_once()
    mixed = [*rows[250:], *chats(10, 500), *rows[:250]]
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(examples.lines(mixed[:300])))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(examples.lines(mixed[300:])))
    (tmp_path / "d.json").write_text(json.dumps(rows[:7], indent=1))
    again, _ = importer(store, "openai-chat").run([tmp_path / f"{name}" for name in ("b.jsonl.gz", "c.jsonl.zst")])
    assert (again.traces, again.known) == (10, 500)
    array, _ = importer(store, "openai-chat").run([tmp_path / "d.json"])
    assert (array.traces, array.known) == (0, 7)
    after = traces(store).select("trace_id", "request", "response", "task").sort("trace_id")
    assert after.height == 510
    assert after.filter(pl.col("trace_id").is_in(before.get_column("trace_id").to_list())).equals(before)


def test_a_file_that_grew_is_read_on_and_one_that_changed_from_its_beginning(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", chats(50))
    importer(store, "openai-chat").run([path])
    same, _ = importer(store, "openai-chat").run([path])
    assert (same.rows, same.traces, same.read_before) == (0, 0, 1)
    with path.open("ab") as file:
        file.write(examples.lines(chats(5, 50)))
    grown, _ = importer(store, "openai-chat").run([path])
    assert (grown.rows, grown.traces) == (5, 5)
    write(path, chats(60, 3))
    changed, _ = importer(store, "openai-chat").run([path])
    assert (changed.rows, changed.traces) == (60, 8)


def test_broken_rows_are_listed_without_what_they_hold(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [*examples.lines(chats(3)).splitlines(), b'{"messages": [{"role": "user", "content": "secret-4711"}]}']
    lines += [
        b'{"secret-4712": ',
        b'["secret-4713"]',
        b'{"messages": [{"role": "user"',
        b"",
        b'{"note": "secret-4714"}',
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    report, rejects = importer(store, "openai-chat").run([path])
    assert (report.traces, report.rejected, report.rows) == (3, 5, 8)
    assert rejects is not None
    found = [json.loads(line) for line in rejects.read_bytes().splitlines()]
    assert [entry["line"] for entry in found] == [4, 5, 6, 7, 9]
    assert all(entry["reason"] for entry in found)
    everything = b"".join(file.read_bytes() for file in (store.data / "imports").iterdir())
    assert b"secret-47" not in everything
    _, kept = importer(store, "openai-chat", again=True, keep_content=True).run([path])
    assert kept is not None
    assert b"secret-4712" in kept.read_bytes()


def test_another_format_is_named_with_what_it_looks_like(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [examples.LITELLM_SPEND_LOG])
    with pytest.raises(RequestError, match="looks like litellm"):
        importer(store, "openai-chat").run([path])
    other = write(tmp_path / "y.jsonl", [{"a": 1}])
    with pytest.raises(RequestError, match="Its first row has the fields: a"):
        importer(store, "tensorzero").run([other])
    with pytest.raises(RequestError, match="There is no file"):
        importer(store, "openai-chat").run([tmp_path / "none.jsonl"])
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert importer(store, "openai-chat").run([empty])[0].rows == 0


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (examples.OPENAI_CHAT, "openai-chat"),
        (examples.OPENAI_BATCH_OUTPUT, "openai-batch"),
        (examples.ANTHROPIC_BATCH_RESULT, "anthropic-batch"),
        ([examples.LITELLM_SPEND_LOG], "litellm"),
        ([examples.LITELLM_PAYLOAD], "litellm"),
        ([examples.TENSORZERO_JSON], "tensorzero"),
        (examples.TENSORZERO_FEEDBACK, "tensorzero"),
        (examples.OPENTRACY, "opentracy"),
        (examples.TRACER, "tracer"),
        ([examples.KILN], "kiln"),
        (examples.LANGFUSE, "langfuse"),
        ([examples.OPENINFERENCE_FRAME], "openinference"),
        ([otlp.span_document(otlp.GEN_AI)], "otel"),
        (examples.HUGGINGFACE, "huggingface"),
    ],
)
def test_every_format_is_told_from_the_others(rows: Rows, name: str, tmp_path: Path) -> None:
    for row in rows:
        found = detect(write(tmp_path / "x.jsonl", [row]))
        assert found is not None
        assert found.format.name == name


def test_dry_runs_write_nothing(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*chats(3), {"messages": [{"role": "user", "content": "x"}]}])
    report, rejects = importer(store, "openai-chat", dry_run=True).run([path])
    assert (report.traces, report.rejected, rejects) == (3, 1, None)
    assert traces(store).is_empty()
    assert not store.journal_root.exists()
    assert [file.name for file in (store.data / "imports").iterdir()] == ["import.lock"]


def test_tables_are_read_in_the_order_they_need(store: Store, tmp_path: Path) -> None:
    files = {
        "a_feedback.jsonl": examples.TENSORZERO_FEEDBACK,
        "b_json.jsonl": [examples.TENSORZERO_JSON],
        "c_chat.jsonl": [examples.TENSORZERO_CHAT],
        "d_calls.jsonl": [examples.TENSORZERO_CALL],
    }
    dump = tmp_path / "dump"
    dump.mkdir()
    for name, rows in files.items():
        write(dump / name, rows)
    report, _ = importer(store, "tensorzero").run([dump / name for name in files])
    assert (report.traces, report.feedback, report.rejected) == (2, 4, 0)
    found = traces(store)
    assert found.get_column("episode").unique().to_list() == [examples.EPISODE]
    asked = json.loads(found.filter(pl.col("model") == "gpt-4o-mini").get_column("request").item())
    assert asked["messages"][0]["content"] == "Ask a question. 21 are left."
    feedback = read_feedback(store)
    assert feedback.get_column("feedback_id").n_unique() == 4
    assert feedback.filter(pl.col("episode") == examples.EPISODE).height == 2 * 2  # each judges both steps
    assert set(feedback.get_column("trace_id").to_list()) - {""} <= set(found.get_column("trace_id").to_list())
    again, _ = importer(store, "tensorzero", again=True).run([dump])
    assert (again.traces, again.feedback, again.known) == (0, 0, 6)


def test_parquet_csv_arrow_and_protobuf(store: Store, tmp_path: Path) -> None:
    frame = pl.DataFrame([examples.OPENINFERENCE_FRAME])
    frame.write_parquet(tmp_path / "spans.parquet")
    assert importer(store, "openinference").run([tmp_path / "spans.parquet"])[0].traces == 1
    log = {
        name: json.dumps(value) if isinstance(value, dict | list) else value
        for name, value in examples.LITELLM_SPEND_LOG.items()
    }
    pl.DataFrame([log]).write_csv(tmp_path / "log.csv")
    assert importer(store, "litellm").run([tmp_path / "log.csv"])[0].traces == 1
    saved = tmp_path / "saved"
    saved.mkdir()
    pl.DataFrame(examples.OPENAI_CHAT).write_ipc_stream(saved / "data-00000-of-00001.arrow")
    (saved / "dataset_info.json").write_text("{}")
    assert importer(store, "huggingface").run([saved])[0].traces == 2
    wire = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    from google.protobuf.json_format import ParseDict

    document = otlp.span_document(otlp.GEN_AI | otlp.GEN_AI_MESSAGES, span_id="aaaaaaaaaaaaaaaa")
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    for name in ("traceId", "spanId"):  # what protobuf's own JSON has, unlike OTLP's
        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    body = ParseDict(document, wire.ExportTraceServiceRequest()).SerializeToString()
    (tmp_path / "spans.pb").write_bytes(body)
    assert importer(store, "otel").run([tmp_path / "spans.pb"])[0].traces == 1
    assert traces(store).height == 5


def test_damaged_files_say_so_and_keep_what_was_read(store: Store, tmp_path: Path) -> None:
    packed = gzip.compress(examples.lines(chats(20_000)))
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(StoreError, match="cannot be read"):
        importer(store, "openai-chat").run([path])
    assert 0 < traces(store).height < 20_000
    path.write_bytes(packed)
    report, _ = importer(store, "openai-chat").run([path])
    assert report.resumed
    assert report.traces == 20_000
    assert traces(store).get_column("trace_id").n_unique() == traces(store).height == 20_000


def test_only_one_import_at_a_time(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", chats(1))
    with exclusive(store.data / "imports" / "import.lock"), pytest.raises(LeaseHeld):
        importer(store, "openai-chat").run([path])


def test_tenants_have_copies_of_their_own(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", chats(4))
    for key in (None, "key_1", "key_2", "key_1"):
        importer(store, "openai-chat", key=key).run([path])
    counts = traces(store).group_by("key").len().sort("key").rows()
    assert counts == [(None, 4), ("key_1", 4), ("key_2", 4)]


def test_sealing_goes_on_while_importing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEAL_BYTES", 100_000)
    monkeypatch.setattr(module, "CHUNK_ROWS", 200)
    sealer = Sealer(store, {})
    seals: list[int] = []

    def seal() -> None:
        seals.append(sealer.seal_once().traces)

    report, _ = importer(store, "openai-chat", seal=seal).run([write(tmp_path / "a.jsonl", chats(5_000))])
    assert report.traces == 5_000
    assert len(seals) > 3
    assert traces(store).height == 5_000


KILLED = """
import sys, os, signal
from pathlib import Path
sys.path[:0] = {paths!r}
import test_importer as t
from freehold.store import Store
from freehold.record.importing import importer as module
module.CHUNK_ROWS = 50
store = Store.open(Path({data!r}), {control!r})
steps = [{kill_at}]
def dying(call):
    def called(*a, **k):
        result = call(*a, **k)
        steps[0] -= 1
        if steps[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return called
from freehold.store.journal.writer import JournalWriter
from freehold.record.importing.journal import StepJournal
from freehold.record.importing.rejects import Rejects
JournalWriter.append = dying(JournalWriter.append)
JournalWriter.sync = dying(JournalWriter.sync)
StepJournal.commit = dying(StepJournal.commit)
Rejects.flush = dying(Rejects.flush)
t.importer(store, "openai-chat").run([Path({path!r})])
"""


@pytest.mark.parametrize("kill_at", [0, 49, 50, 51, 52, 53, 70, 155, 310])
def test_a_process_killed_anywhere_goes_on_and_doubles_nothing(kill_at: int, tmp_path: Path) -> None:
    bad = {"messages": [{"role": "user", "content": "x"}]}
    rows = [row for number, chat in enumerate(chats(300)) for row in ([chat, bad] if number % 30 == 0 else [chat])]
    path = write(tmp_path / "a.jsonl", rows)
    data, control = str(tmp_path / "data"), f"sqlite:///{tmp_path / 'control.sqlite'}"
    paths = [str(Path(__file__).parent), *(entry for entry in sys.path if entry)]
    code = KILLED.format(paths=paths, data=data, control=control, kill_at=kill_at, path=str(path))
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    store = Store.open(Path(data), control)
    try:
        report, rejects = importer(store, "openai-chat").run([path])
        found = traces(store)
        assert found.height == found.get_column("trace_id").n_unique() == 300
        assert (report.rows, report.rejected) == (310, 10)
        assert report.traces + report.known == 300
        assert rejects is not None
        assert len(rejects.read_bytes().splitlines()) == 10
        Sealer(store, {}).seal_once()
        assert importer(store, "openai-chat", again=True).run([path])[0].known == 300
    finally:
        store.close()


def test_a_hundred_thousand_rows_in_bounded_memory(tmp_path: Path) -> None:
    with (tmp_path / "big.jsonl").open("wb") as file:
        for start in range(0, 100_000, 1000):
            file.write(examples.lines(chats(1000, start)))
    (tmp_path / "freehold.toml").write_text('[upstreams.openai]\nbase_url = "https://api.openai.com/v1"\n')
    # Its own peak, from within: what wait4 tells of a child begins at the size of the parent that forked it.
    program = (
        "import re, sys; from freehold.cli.main import main; main(sys.argv[1:]);"
        "sys.stderr.write(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    command = [sys.executable, "-c", program, "import", "openai-chat", "big.jsonl", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=200, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["traces"] == 100_000
    assert 20_000 < int(done.stderr.split()[-1]) < 500_000  # KiB
