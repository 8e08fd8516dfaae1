"""What importing costs per format, beside a plain loop that only decodes the same lines.

    python bench/record/importing.py [--rows 5000]

Prints a Markdown table: rows per CPU second, of reading rows into traces alone and of a whole import (read, told from
what is stored, written to the journal, progress kept), and of a loop over `json.loads`; where Hugging Face's `datasets`
is installed, of loading the same file with it. Rows are generated, about 600 bytes of text each.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it runs as a file, too

from tests.shared import import_examples as examples
from tests.shared import otlp_examples as otlp

from freehold.domain.fingerprint import TemplateIndex
from freehold.record.importing.exchange import Exchange, Maker, Options
from freehold.record.importing.files import lines_of
from freehold.record.importing.formats import FORMATS
from freehold.record.importing.importer import Importer
from freehold.route.identify import Identifier, task_name
from freehold.store import Store

Row = dict[str, Any]
TEXT = "Where is my parcel?"
LOREM = "the parcel was promised for the day before and nobody at the depot knows where it went " * 6


def batch(number: int) -> list[Row]:
    name = f"request-{number}"
    asked, answered = examples.OPENAI_BATCH_INPUT[0], examples.OPENAI_BATCH_OUTPUT[0]
    return [asked | {"custom_id": name}, answered | {"custom_id": name, "id": f"batch_req_{number}"}]


def anthropic(number: int) -> list[Row]:
    asked, answered = examples.ANTHROPIC_BATCH_INPUT[0], examples.ANTHROPIC_BATCH_RESULT[0]
    message = answered["result"]["message"] | {"id": f"msg_{number}"}
    name = {"custom_id": f"r{number}"}
    return [asked | name, answered | name | {"result": {"type": "succeeded", "message": message}}]


def span(number: int) -> list[Row]:
    return [otlp.span_document(otlp.GEN_AI | otlp.GEN_AI_MESSAGES, span_id=f"{number + 1:016x}")]


def watched(number: int) -> list[Row]:
    return [{"input": f"{TEXT} {number}", "teacher": "delivery"}]


MAKERS: dict[str, Callable[[int], list[Row]]] = {
    "openai-chat": lambda number: [examples.OPENAI_CHAT[0]],
    "openai-batch": batch,
    "anthropic-batch": anthropic,
    "litellm": lambda number: [examples.LITELLM_SPEND_LOG | {"request_id": f"chatcmpl-{number}"}],
    "tensorzero": lambda number: [
        examples.TENSORZERO_JSON | {"id": f"01942e26-88ab-7331-8293-{number:012x}"},
    ],
    "langfuse": lambda number: [examples.LANGFUSE[1] | {"id": f"o-{number}"}],
    "openinference": lambda number: [examples.OPENINFERENCE_FRAME | {"context.span_id": f"{number:016x}"}],
    "otel": span,
    "kiln": lambda number: [examples.KILN | {"id": str(number)}],
    "opentracy": lambda number: [examples.OPENTRACY[0] | {"request_id": str(number)}],
    "tracer": watched,
    "huggingface": lambda number: [examples.HUGGINGFACE[4]],
}


def cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def write(folder: Path, name: str, rows: int) -> list[Path]:
    """One file per kind of rows; each row's text is its own."""
    made = [MAKERS[name](number) for number in range(rows)]
    paths: list[Path] = []
    for kind in range(len(made[0])):
        paths.append(folder / f"{name}-{kind}.jsonl")
        with paths[-1].open("w") as file:
            for number, group in enumerate(made):
                file.write(json.dumps(group[kind]).replace(TEXT, f"{TEXT} {number} {LOREM}") + "\n")
    return paths


class NoShelf:
    """Rows put aside, in memory."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}

    def put(self, kind: str, key: str, row: Row) -> None:
        """See `freehold.record.importing.format.Shelf`."""
        self.rows[kind, key] = row

    def get(self, kind: str, key: str) -> Row | None:
        """See `freehold.record.importing.format.Shelf`."""
        return self.rows.get((kind, key))


def measure(folder: Path, name: str, rows: int) -> dict[str, float]:
    paths, found = write(folder, name, rows), FORMATS[name]
    identifier, index = Identifier(), TemplateIndex(())

    def identify(request: Any, named: str) -> Any:
        return identifier.identify(request, task_name(request, named), index)

    maker, shelf = Maker(Options(source=name, now_ns=1), identify), NoShelf()

    def plain() -> None:
        for path in paths:
            with path.open("rb") as file:
                for line in file:
                    json.loads(line)

    def read() -> None:
        for path in paths:
            for line in lines_of(path):
                assert line.row is not None
                for item in found.read(found.role(line.row) or "", line.row, shelf):
                    if isinstance(item, Exchange):
                        maker.trace(item)

    def whole() -> None:
        store = Store.open(folder / f"data-{name}", f"sqlite:///{folder / name}.sqlite")
        report, _ = Importer(store, found, Options(source=name), identify).run(paths)
        store.close()
        assert (report.traces, report.rejected) == (rows, 0), report

    lines = rows * len(paths)
    size = sum(path.stat().st_size for path in paths) / lines
    return {"bytes": size, **{job.__name__: lines / cpu(job) for job in (plain, read, whole)}}


def by_datasets(path: Path, rows: int) -> str:
    if importlib.util.find_spec("datasets") is None:
        return "`datasets` is not installed: not measured."
    code = (
        "import sys,time\nfrom datasets import load_dataset\nbegan=time.process_time()\n"
        "for row in load_dataset('json', data_files=sys.argv[1], split='train', cache_dir=sys.argv[2]): pass\n"
        "print(time.process_time()-began)"
    )
    with tempfile.TemporaryDirectory() as cache:
        line = [sys.executable, "-c", code, str(path), cache]
        done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=True)
    return f"`datasets.load_dataset` and a loop over the openai-chat file: {rows / float(done.stdout):,.0f} rows/s."


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5000)
    rows = parser.parse_args().rows
    print(f"`python bench/record/importing.py --rows {rows}`; rows per CPU second\n")
    print("| format | bytes per row | json.loads alone | read into traces | whole import |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in MAKERS:
            found = measure(Path(folder), name, rows)
            figures = " | ".join(f"{found[job]:,.0f}" for job in ("bytes", "plain", "read", "whole"))
            print(f"| {name} | {figures} |", flush=True)
        print("\n" + by_datasets(Path(folder) / "openai-chat-0.jsonl", rows))


if __name__ == "__main__":
    main()
