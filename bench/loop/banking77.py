"""The loop on real input: 13,083 bank customers' messages through the running gateway, 77 intents.

The messages (banking77, PolyAI, CC BY 4.0) are read from ../shared/data, which is not part of this repository. They are
shuffled by the seed and sent as chat requests with a classification prompt. The incumbent is a recorded upstream that
answers with the label, and with a wrong one on a random 2%. Gateway and incumbent are processes of their own; the loop
takes its turns between blocks of requests, so that a run can be repeated.

    python bench/loop/banking77.py --seed 1 --json
    python bench/loop/banking77.py --seeds 1-20
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from freehold.config import configure_logs, load_settings
from freehold.loop import Loop
from freehold.store import Store
from freehold.upstreams.base import UpstreamRequest
from freehold.upstreams.http import HttpUpstream

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "banking77.parquet"
MODEL = "incumbent-1"
MISTAKES = 0.02
BLOCK = 250
CONCURRENCY = 8


class Row(NamedTuple):
    """One message: its text, its true label and the incumbent's answer."""

    text: str
    label: str
    incumbent: str


class Answered(NamedTuple):
    """What came back for one message."""

    owned: bool
    answer: str


def rows_of(seed: int, limit: int) -> tuple[list[Row], list[str]]:
    """The messages in the seed's order, with the incumbent's answers; and the labels."""
    frame = pl.read_parquet(DATA)
    labels = sorted(set(frame["label"].to_list()))
    pairs = list(zip(frame["text"].to_list(), frame["label"].to_list(), strict=True))
    rng = random.Random(seed)
    rng.shuffle(pairs)
    said: dict[str, str] = {}
    rows: list[Row] = []
    for text, label in pairs[:limit]:
        wrong = rng.random() < MISTAKES
        answer = rng.choice([other for other in labels if other != label]) if wrong else label
        rows.append(Row(text, label, said.setdefault(text, answer)))
    return rows, labels


def request_body(text: str, labels: list[str]) -> bytes:
    """The application's call: a fixed prompt and one message."""
    system = "Classify the bank customer's message. Answer with one of these labels only: " + ", ".join(labels) + "."
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return json.dumps({"model": MODEL, "messages": messages, "temperature": 0}).encode()


@contextlib.contextmanager
def process(*command: str) -> Generator[subprocess.Popen[str], None, None]:
    """A child process whose first lines are read by the caller; ended afterwards."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(30)


def first_line(child: subprocess.Popen[str]) -> str:
    """The first line a process prints; it has begun to listen by then."""
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise SystemExit(f"{child.args} ended before it listened.")
    return line


def write_config(folder: Path, upstream: str, epsilon: float, delta: float) -> Path:
    """A configuration with one upstream whose answers are the organisation's own."""
    path = folder / "freehold.toml"
    path.write_text(
        f"""
data_dir = "data"
[gateway]
port = 0
[upstreams.recorded]
base_url = "{upstream}"
terms = "own"
prices = {{ "*" = {{ input = 2.5, output = 10.0 }} }}
[loop]
epsilon = {epsilon}
delta = {delta}
"""
    )
    return path


async def send_block(gateway: HttpUpstream, bodies: list[bytes]) -> list[Answered]:
    """Send requests, eight at a time, and read who answered what."""
    answers: list[Answered | None] = [None] * len(bodies)
    waiting = iter(range(len(bodies)))

    async def client() -> None:
        for index in waiting:
            answers[index] = await send(gateway, bodies[index])

    await asyncio.gather(*(client() for _ in range(CONCURRENCY)))
    return [answer for answer in answers if answer is not None]


async def send(gateway: HttpUpstream, body: bytes) -> Answered:
    """One request through the gateway."""
    headers = [(b"content-type", b"application/json")]
    response = await gateway.send(
        UpstreamRequest(method=b"POST", path=b"/chat/completions", headers=headers, body=body)
    )
    parts: list[bytes] = []
    while piece := await response.read():
        parts.append(piece)
    if response.status != 200:
        raise SystemExit(f"The gateway answered {response.status}: {b''.join(parts)[:300]!r}")
    owned = dict(response.headers)[b"x-freehold-answered-by"].startswith(b"student/")
    return Answered(owned, json.loads(b"".join(parts))["choices"][0]["message"]["content"])


async def policy_in_force(gateway: HttpUpstream, version: int) -> None:
    """Wait until the gateway serves this policy with its students loaded (it polls twice a second)."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        response = await gateway.send(UpstreamRequest(method=b"GET", path=b"/readyz", headers=[], body=b""))
        body = await response.read()
        if json.loads(body).get("policy") == version:
            return
        await asyncio.sleep(0.05)
    raise SystemExit(f"The gateway did not take up policy {version} within 20 s.")


async def play(rows: list[Row], labels: list[str], url: str, loop: Loop, store: Store, quiet: bool) -> list[Answered]:
    """Send all rows in blocks; the loop works between blocks until nothing is due."""
    gateway = HttpUpstream("gateway", f"{url}/v1")
    health = HttpUpstream("gateway", url)
    answers: list[Answered] = []
    in_force = 0
    for start in range(0, len(rows), BLOCK):
        answers += await send_block(gateway, [request_body(row.text, labels) for row in rows[start : start + BLOCK]])
        loop.until_idle()
        version = store.control.policy_version()
        if version != in_force:
            await policy_in_force(health, version)
            in_force = version
        if not quiet:
            owned = sum(answer.owned for answer in answers[-BLOCK:]) / len(answers[-BLOCK:])
            print(f"\r{len(answers):6d} requests, {owned:5.1%} owned of the last {BLOCK}", end="", file=sys.stderr)
    await gateway.aclose()
    await health.aclose()
    return answers


def report(seed: int, rows: list[Row], answers: list[Answered], store: Store) -> dict[str, Any]:
    """The figures of one run."""
    owned = [(row, answer) for row, answer in zip(rows, answers, strict=True) if answer.owned]
    half = answers[len(answers) // 2 :]
    first = next((number for number, answer in enumerate(answers, 1) if answer.owned), None)
    events = list(reversed(store.control.events(10_000)))
    certificates = sorted(store.control.certificates.list(), key=lambda certificate: certificate.issued_ns)
    tries = [event.message for event in events if event.kind in ("not-certified", "rolled-back", "job-failed")]
    return {
        "seed": seed,
        "requests": len(rows),
        "owned_share": round(len(owned) / len(answers), 4),
        "owned_share_second_half": round(sum(answer.owned for answer in half) / len(half), 4),
        "disagreement_with_incumbent": rate(sum(a.answer != row.incumbent for row, a in owned), len(owned)),
        "disagreement_with_label": rate(sum(a.answer != row.label for row, a in owned), len(owned)),
        "first_promotion": first,
        "attempts": max((task.attempts for task in store.control.tasks.list()), default=0),
        "certified": [(round(c.coverage, 3), round(c.loss_upper, 4)) for c in certificates],
        "failures": tries,
    }


def rate(part: int, whole: int) -> float | None:
    """A share; None of nothing."""
    return round(part / whole, 4) if whole else None


def run(seed: int, epsilon: float, delta: float, limit: int, quiet: bool) -> dict[str, Any]:
    """Play one seed's stream."""
    rows, labels = rows_of(seed, limit)
    started = time.monotonic()
    before = cpu_seconds()
    with tempfile.TemporaryDirectory(prefix="freehold-banking77-") as name:
        folder = Path(name)
        recorded = folder / "recorded.jsonl"
        lines = [json.dumps({"prompt": row.text, "response": row.incumbent, "model": MODEL}) for row in rows]
        recorded.write_text("\n".join(dict.fromkeys(lines)))
        with process(sys.executable, "-m", "freehold.upstreams.recorded", str(recorded)) as incumbent:
            config = write_config(folder, json.loads(first_line(incumbent))["base_url"], epsilon, delta)
            settings = load_settings(config)
            command = (sys.executable, "-m", "freehold.cli.main", "serve", "--config", str(config))
            with process(*command, "--log-level", "error") as gateway:
                url = first_line(gateway).split()[3].rstrip(":")
                store = Store.open(settings.data, settings.control_url)
                loop = Loop(store, settings)
                answers = asyncio.run(play(rows, labels, url, loop, store, quiet))
        result = report(seed, rows, answers, store)
    return {**result, "wall_s": round(time.monotonic() - started, 1), "cpu_s": round(cpu_seconds() - before, 1)}


def cpu_seconds() -> float:
    """CPU time of this process and the children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Over seeds: medians, extremes, and how often the loss kept its bound."""
    shares = pl.Series([result["owned_share_second_half"] for result in results])
    losses = [result["disagreement_with_incumbent"] or 0.0 for result in results]
    firsts = [result["first_promotion"] for result in results]
    return {
        "seeds": len(results),
        "owned_share_second_half_median": shares.median(),
        "owned_share_second_half_min": shares.min(),
        "owned_share_second_half_max": shares.max(),
        "seeds_at_least_60_percent": int((shares >= 0.6).sum()),
        "seeds_with_loss_within_epsilon": sum(loss <= 0.05 for loss in losses),
        "largest_loss": max(losses),
        "seeds_promoted_within_3000": sum(first is not None and first <= 3000 for first in firsts),
        "cpu_s_median": pl.Series([result["cpu_s"] for result in results]).median(),
    }


def main() -> int:
    """Run the seeds that were asked for; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", help="a range such as 1-20: one line each, then a summary")
    parser.add_argument("--epsilon", type=float, default=0.05)
    parser.add_argument("--delta", type=float, default=0.05)
    parser.add_argument("--requests", type=int, default=1_000_000, help="play only so many")
    parser.add_argument("--json", action="store_true", help="no progress, only JSON")
    options = parser.parse_args()
    if not DATA.exists():
        print(f"{DATA} is not here: this benchmark needs the banking77 messages.", file=sys.stderr)
        return 3
    configure_logs("error")
    first, _, last = (options.seeds or f"{options.seed}-{options.seed}").partition("-")
    results: list[dict[str, Any]] = []
    for seed in range(int(first), int(last or first) + 1):
        results.append(run(seed, options.epsilon, options.delta, options.requests, options.json))
        print(json.dumps(results[-1]), flush=True)
    if options.seeds:
        print(json.dumps(summary(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
