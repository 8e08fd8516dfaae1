"""What training on this machine costs those who are answered by it, and what serving costs the training.

The gateway passes requests to a recorded upstream at a steady rate while as many processes train as the machine has
cores: not at all, at the gateway's own priority, as nice as jobs were, in the scheduler's idle class, waiting between
steps, and by the policy (`freehold.runners.yielding`: idle class and waiting). All take turns in one run.

    OMP_NUM_THREADS=1 python bench/students/yielding.py [--rounds 3] [--seconds 6] [--rate 40] [--share 0.5]

Needs `freehold[train]`. With `--tokens N` answers are computed: the upstream is a model of the tiny recipe's size that
makes N tokens for each. A training step is one of the same model on 2,048 tokens. A latency runs from the time a
request was due, so one that waits behind another counts. Prints a Markdown table of medians over the rounds, with the
least and greatest, and one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from freehold.runners.yielding import FOLDER, Yielding, step_back

CONNECTIONS = 8
CONFIG = """
data_dir = "data"
[gateway]
port = 0
[upstreams.recorded]
base_url = "{url}"
"""
SHAPE: dict[str, Any] = {
    "vocab_size": 2048,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
PROMPTS = 200
TOKENS = 2048
WIDTH = 256
SETTLE_SECONDS = 1.0
"""From the start of a turn to what is measured: the policy has then seen requests."""


class Mode(NamedTuple):
    """How processes train."""

    name: str
    behind: str
    """same, nice or idle: behind the gateway."""
    waits: bool


MODES = (
    Mode("no training", "", False),
    Mode("training, same priority", "same", False),
    Mode("training, nice 10", "nice", False),
    Mode("training, waiting only", "same", True),
    Mode("training, nice 10 and waiting", "nice", True),
    Mode("training, idle class", "idle", False),
    Mode("training, by the policy", "idle", True),
)


class Turn(NamedTuple):
    """What one turn measured."""

    p50_ms: float
    p95_ms: float
    steps_per_second: float


class Trainers:
    """The processes of one mode; stopped between its turns, so that no turn pays for imports."""

    def __init__(self, mode: Mode, folder: Path, share: float, count: int) -> None:
        command = [sys.executable, __file__, "--train", mode.behind, str(folder), str(share if mode.waits else 0.0)]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(count if mode.behind else 0)
        ]
        self.steps()
        self.stop()

    def stop(self) -> None:
        """Let them wait for their next turn."""
        for process in self._processes:
            process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Their turn begins."""
        for process in self._processes:
            process.send_signal(signal.SIGCONT)

    def steps(self) -> int:
        """Of all processes so far."""
        for process in self._processes:
            assert process.stdin is not None
            print(file=process.stdin, flush=True)
        return sum(int(process.stdout.readline()) for process in self._processes if process.stdout is not None)

    def end(self) -> None:
        """Be rid of them."""
        for process in self._processes:
            process.kill()
            process.wait()


def train(behind: str, folder: Path, share: float) -> None:
    """Train for ever; a line on standard input asks for the number of steps so far."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(LlamaConfig(**SHAPE))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    tokens = torch.randint(2048, (TOKENS // WIDTH, WIDTH))
    if behind == "idle":
        step_back()
    elif behind == "nice":
        os.nice(10)
    policy = Yielding(folder, share)
    done = [0]

    def tell() -> None:
        for _ in sys.stdin:
            print(done[0], flush=True)

    threading.Thread(target=tell, daemon=True).start()
    while True:
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        done[0] += 1
        policy.between_steps()


def compute(count: int) -> None:
    """Serve answers of `count` tokens, each computed; prints where, as the recorded upstream does."""
    import http.server

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    model: Any = LlamaForCausalLM(LlamaConfig(**SHAPE))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            with torch.inference_mode():
                model.generate(torch.ones(1, 16, dtype=torch.long), max_new_tokens=count, min_new_tokens=count)
            body = json.dumps(
                {
                    "id": "c",
                    "object": "chat.completion",
                    "created": 1,
                    "model": "m",
                    "choices": [
                        {
                            "index": 0,
                            "finish_reason": "stop",
                            "message": {"role": "assistant", "content": "On its way."},
                        }
                    ],
                }
            ).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(json.dumps({"base_url": f"http://127.0.0.1:{server.server_address[1]}/v1"}), flush=True)
    server.serve_forever()


@contextlib.contextmanager
def serving(folder: Path, tokens: int) -> Generator[str]:
    """The gateway before a recorded upstream, or one that computes: its address, HOST:PORT."""
    rows = [{"prompt": f"Where is order {n}?", "response": f"On its way, number {n}."} for n in range(PROMPTS)]
    (folder / "answers.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    recorded = ["-m", "freehold.upstreams.recorded", str(folder / "answers.jsonl"), "--model-name", "m"]
    command = [__file__, "--compute", str(tokens)] if tokens else recorded
    upstream = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    assert upstream.stdout is not None
    url = json.loads(upstream.stdout.readline())["base_url"]
    (folder / "freehold.toml").write_text(CONFIG.format(url=url))
    command = [sys.executable, "-m", "freehold.cli.main", "serve", "--json", "--log-level", "warning", "--config"]
    gateway = subprocess.Popen([*command, str(folder / "freehold.toml")], stdout=subprocess.PIPE, text=True)
    try:
        assert gateway.stdout is not None
        yield json.loads(gateway.stdout.readline())["url"].removeprefix("http://")
    finally:
        for process in (gateway, upstream):
            process.terminate()
            process.wait(30)


def load(address: str, rate: float, seconds: float) -> list[float]:
    """Milliseconds that each request took from when it was due; so many a second, whatever the answers take."""
    began = time.monotonic()
    tick = threading.Event()

    def caller(number: int) -> list[float]:
        connection = http.client.HTTPConnection(address, timeout=30)
        took: list[float] = []
        due = began + number / rate
        while due < began + seconds:
            tick.wait(max(0.0, due - time.monotonic()))
            question = f"Where is order {len(took) % PROMPTS}?"
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": question}]})
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            reply = connection.getresponse()
            reply.read()
            assert reply.status == 200, reply.status
            took.append((time.monotonic() - due) * 1e3)
            due += CONNECTIONS / rate
        connection.close()
        return took

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return [each for found in pool.map(caller, range(CONNECTIONS)) for each in found]


def turn(trainers: Trainers, address: str, rate: float, seconds: float) -> Turn:
    """One turn of one mode."""
    trainers.go_on()
    load(address, rate, SETTLE_SECONDS)
    steps, began = trainers.steps(), time.monotonic()
    took = sorted(load(address, rate, seconds))
    done, ended = trainers.steps() - steps, time.monotonic()
    trainers.stop()
    return Turn(took[len(took) // 2], took[int(len(took) * 0.95)], done / (ended - began))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second")
    parser.add_argument("--share", type=float, default=0.5, help="[students] yield_share")
    parser.add_argument("--trainers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tokens", type=int, default=0, help="of an answer that is computed; 0: recorded ones")
    parser.add_argument("--compute", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train[0], Path(options.train[1]), float(options.train[2]))
    if options.compute:
        compute(options.compute)
    with (
        tempfile.TemporaryDirectory() as name,
        serving(Path(name), options.tokens) as address,
        contextlib.ExitStack() as stack,
    ):
        found: dict[str, list[Turn]] = {mode.name: [] for mode in MODES}
        trainers: dict[str, Trainers] = {}
        for mode in MODES:
            trainers[mode.name] = Trainers(mode, Path(name) / "data" / FOLDER, options.share, options.trainers)
            stack.callback(trainers[mode.name].end)
        load(address, options.rate, SETTLE_SECONDS)
        for _ in range(options.rounds):
            for mode in MODES:
                found[mode.name].append(turn(trainers[mode.name], address, options.rate, options.seconds))
        free = trainers[MODES[-1].name]
        free.go_on()
        threading.Event().wait(SETTLE_SECONDS)
        steps, began = free.steps(), time.monotonic()
        threading.Event().wait(options.seconds)
        alone = (free.steps() - steps) / (time.monotonic() - began)
    print(f"| {options.rate:g} requests/s | p50 ms | p95 ms | steps/s |\n|---|---:|---:|---:|")
    for mode, turns in found.items():
        print(f"| {mode} | " + " | ".join(_told(list(each)) for each in zip(*turns, strict=True)) + " |")
    print(f"| by the policy, nobody asking | | | {alone:.2f} |")
    print(json.dumps({"options": vars(options), "turns": found, "steps_per_second_alone": alone}))
    return 0


def _told(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
