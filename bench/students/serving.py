"""Our CPU server beside transformers and llama.cpp, on the same model, in one run.

    python bench/students/serving.py [--llama-python PATH] [--hidden 192] [--layers 4] [--tokens 64] [--requests 64]

A model in random weights (they cost what trained ones cost), prompts that are all different, answers of a fixed number
of tokens. Ours is the whole server over HTTP on loopback, its process's CPU seconds from /proc; transformers is
`generate`, one request after another, and llama.cpp its own batches, both without a server around them. One thread of
arithmetic each. llama.cpp runs in the environment of `--llama-python`, where llama-cpp-python is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

AT_ONCE = (1, 8, 32)
CONTEXT = 512
_HERE = Path(__file__).parent
_WORDS = """
order invoice refund printer broken urgent please customer delivery late payment login password reset account
shipping address change cancel subscription thanks hello screen cable router help error code number date
""".split()  # noqa: SIM905  # to be read
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["order", "Rückgabe", "質問"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 999},
        "items": {
            "type": "array",
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"done": {"type": "boolean"}, "price": {"type": "number", "minimum": 0, "maximum": 99}},
                "required": ["done", "price"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["name", "kind", "count", "items"],
    "additionalProperties": False,
}


class Spent(NamedTuple):
    """What answering took."""

    tokens: int
    cpu: float
    wall: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--llama-python", default="")
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--intermediate", type=int, default=448)
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--requests", type=int, default=64)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(given, Path(folder))


def run(given: argparse.Namespace, folder: Path) -> None:
    model = folder / "model"
    parameters = make_model(model, given)
    rng = random.Random(7)
    prompts = [" ".join(rng.choices(_WORDS, k=24)) + f" {rng.randrange(10**6)}" for _ in range(given.requests)]
    print(f"{parameters:,} parameters, {given.requests} requests of {given.tokens} tokens, one thread\n")
    adapters = {f"a{number}": make_adapter(folder / f"a{number}", model, number) for number in range(4)}
    transformers = with_transformers(model, prompts[: max(8, given.requests // 4)], given.tokens)
    llama = with_llama(given, model, folder / "model.gguf", prompts)
    with Server(model, adapters) as server:
        ours = {at_once: asyncio.run(server.measure(prompts, given.tokens, at_once)) for at_once in AT_ONCE}
        first = {at_once: asyncio.run(server.first_tokens(prompts, given.tokens, at_once)) for at_once in AT_ONCE}
        mixed = asyncio.run(server.measure(prompts, given.tokens, 8, ["model", *adapters]))
        one = asyncio.run(server.measure(prompts, given.tokens, 8, ["a0"]))
        swaps = asyncio.run(server.swaps(adapters["a1"]))
        valid = asyncio.run(server.valid(prompts))
        memory = server.memory()
    rows = {"ours, as a server": ours, "transformers generate, one by one": transformers}
    if llama:
        rows["llama.cpp, in batches"] = llama
    told(
        "tokens per CPU second",
        {name: {n: one.tokens / one.cpu for n, one in row.items()} for name, row in rows.items()},
    )
    told(
        "tokens per wall second",
        {name: {n: one.tokens / one.wall for n, one in row.items()} for name, row in rows.items()},
    )
    print("\ntime to first token (ms)        p50      p95")
    for at_once, times in first.items():
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"  {at_once:>2} at once               {1e3 * statistics.median(times):7.1f}  {1e3 * p95:7.1f}")
    plain = ours[8].cpu / ours[8].tokens
    print("\nadapters, 8 at once: CPU per token against the base alone")
    costs = one.cpu / one.tokens / plain, mixed.cpu / mixed.tokens / plain
    print(f"  one adapter {costs[0]:.2f} times, the base and four adapters mixed {costs[1]:.2f}")
    print(f"  switch of an adapter, file to live: {1e3 * statistics.median(swaps):.1f} ms (median of {len(swaps)})")
    print(f"schema: {valid[0]} of {valid[1]} answers valid; resident memory of the server {memory:.0f} MB")


def told(title: str, rows: dict[str, dict[int, float]]) -> None:
    print(f"\n{title:38}" + "".join(f"{at_once:>10}" for at_once in AT_ONCE))
    ours = rows["ours, as a server"]
    for name, row in rows.items():
        print(f"  {name:36}" + "".join(f"{row[at_once]:>10,.0f}" for at_once in AT_ONCE))
    for name, row in rows.items():
        if row is not ours:
            print(f"  ours / {name.split(',')[0]:29}" + "".join(f"{ours[n] / row[n]:>10.2f}" for n in AT_ONCE))


def make_model(folder: Path, given: argparse.Namespace) -> int:
    tokenizers: Any = import_module("tokenizers")
    hf: Any = import_module("transformers")
    torch: Any = import_module("torch")
    level = tokenizers.pre_tokenizers.ByteLevel
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = level(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    special = ["<|end|>", "<|pad|>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=given.vocabulary, special_tokens=special, initial_alphabet=sorted(level.alphabet())
    )
    rng = random.Random(1)
    tokenizer.train_from_iterator([" ".join(rng.choices(_WORDS, k=20)) for _ in range(500)], trainer)
    spare = given.vocabulary - tokenizer.get_vocab_size()
    tokenizer.add_tokens([f"spare{number}" for number in range(spare)])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    template = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}<|assistant|>\n"
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    torch.manual_seed(0)
    config = hf.LlamaConfig(
        hidden_size=given.hidden, num_hidden_layers=given.layers, num_attention_heads=given.heads,
        num_key_value_heads=given.heads, intermediate_size=given.intermediate, vocab_size=given.vocabulary,
        max_position_embeddings=CONTEXT, tie_word_embeddings=True, bos_token_id=None, eos_token_id=0,
    )  # fmt: skip
    model = hf.LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, 0, 0.08)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def make_adapter(folder: Path, base: Path, seed: int) -> Path:
    hf: Any = import_module("transformers")
    peft: Any = import_module("peft")
    torch: Any = import_module("torch")
    torch.manual_seed(seed)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = peft.LoraConfig(r=16, lora_alpha=32, target_modules=targets, init_lora_weights=False)
    peft.get_peft_model(hf.AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    return folder


def with_transformers(model: Path, prompts: list[str], tokens: int) -> dict[int, Spent]:
    """One after another, whatever number waits."""
    hf: Any = import_module("transformers")
    torch: Any = import_module("torch")
    torch.set_num_threads(1)
    tokenizer = hf.AutoTokenizer.from_pretrained(model)
    loaded = hf.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    def answer(prompt: str, count: int) -> None:
        read = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        loaded.generate(**read, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=1)

    answer(prompts[0], 8)
    cpu, wall = time.process_time(), time.perf_counter()
    for prompt in prompts:
        answer(prompt, tokens)
    spent = Spent(tokens * len(prompts), time.process_time() - cpu, time.perf_counter() - wall)
    return dict.fromkeys(AT_ONCE, spent)


def with_llama(given: argparse.Namespace, model: Path, gguf: Path, prompts: list[str]) -> dict[int, Spent]:
    if not given.llama_python:
        print("llama.cpp is left out: no --llama-python.")
        return {}
    try:
        export: Any = import_module("freehold.serving.export")
        source: Any = import_module("freehold.serving.export.source")
        export.export_gguf(source.source_of(model), gguf, "f32")
    except ImportError as error:
        print(f"llama.cpp is left out: {error}.")
        return {}
    text: Any = import_module("freehold.serving.engine.text")
    words = text.Words(model)
    tokens = [words.conversation([{"role": "user", "content": prompt}]) for prompt in prompts]
    asked = {"gguf": str(gguf), "prompts": tokens, "tokens": given.tokens, "at_once": AT_ONCE}
    asked["context"] = 32 * (1 + (max(map(len, tokens)) + given.tokens) // 32)
    ran = subprocess.run(
        [given.llama_python, str(_HERE / "llama_batch.py")], input=json.dumps(asked), capture_output=True, text=True
    )
    if ran.returncode:
        print(f"llama.cpp is left out: {ran.stderr.strip()[-500:]}")
        return {}
    rows = json.loads(ran.stdout)
    return {n: Spent(row["tokens"], row["cpu"], row["wall"]) for n, row in zip(AT_ONCE, rows, strict=True)}


class Server:
    """`freehold student serve` in a process of its own."""

    def __init__(self, model: Path, adapters: dict[str, Path]) -> None:
        self._command = [sys.executable, "-m", "freehold.cli.main", "student", "serve", str(model), "--json"]
        self._command += ["--port", "0", "--name", "model", "--adapter-root", str(model.parent), "--log-level", "error"]
        for name, folder in adapters.items():
            self._command += ["--adapter", f"{name}={folder}"]

    def __enter__(self) -> Server:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout is not None
        self._port = int(json.loads(self._process.stdout.readline())["url"].rpartition(":")[2])
        asyncio.run(self.measure(["warm"] * 40, 8, 32))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def cpu(self) -> float:
        """Seconds that the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident, in megabytes."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    async def measure(self, prompts: list[str], tokens: int, at_once: int, models: list[str] | None = None) -> Spent:
        """All prompts, so many side by side."""
        names = models or ["model"]
        asks = [self._ask(names[place % len(names)], prompt, tokens) for place, prompt in enumerate(prompts)]
        cpu, wall = self.cpu(), time.perf_counter()
        answers = await self._all(asks, at_once)
        made = sum(json.loads(answer[0])["usage"]["completion_tokens"] for answer in answers)
        return Spent(made, self.cpu() - cpu, time.perf_counter() - wall)

    async def first_tokens(self, prompts: list[str], tokens: int, at_once: int) -> list[float]:
        """Seconds until each stream's first token."""
        asks = [{**self._ask("model", prompt, tokens), "stream": True} for prompt in prompts]
        return [first for _, first in await self._all(asks, at_once)]

    async def swaps(self, folder: Path) -> list[float]:
        """Load an adapter in place, and ask it for one token."""
        times: list[float] = []
        for _ in range(10):
            began = time.perf_counter()
            load = {"lora_name": "swapped", "lora_path": str(folder), "load_inplace": True}
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            await self._send(reader, writer, "/v1/load_lora_adapter", load)
            await self._send(reader, writer, "/v1/chat/completions", self._ask("swapped", "hello", 1))
            writer.close()
            times.append(time.perf_counter() - began)
        return times

    async def valid(self, prompts: list[str]) -> tuple[int, int]:
        """Answers by schema, sampled from random weights: the worst there is."""
        jsonschema: Any = import_module("jsonschema")
        form = {"type": "json_schema", "json_schema": {"name": "t", "schema": SCHEMA}}
        asks = [
            {**self._ask("model", prompt, 380), "response_format": form, "temperature": 1.0, "seed": place}
            for place, prompt in enumerate(prompts)
        ]  # fmt: skip
        good = 0
        for body, _ in await self._all(asks, 8):
            choice = json.loads(body)["choices"][0]
            try:
                jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMA)
                good += 1
            except (ValueError, jsonschema.ValidationError) as error:
                print(f"not valid ({choice['finish_reason']}): {error}")
        return good, len(asks)

    def _ask(self, model: str, prompt: str, tokens: int) -> dict[str, Any]:
        messages = [{"role": "user", "content": prompt}]
        return {
            "model": model,
            "messages": messages,
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": tokens < 100,
        }

    async def _all(self, asks: list[dict[str, Any]], at_once: int) -> list[tuple[bytes, float]]:
        waiting = list(enumerate(asks))[::-1]
        answers: dict[int, tuple[bytes, float]] = {}

        async def work() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            while waiting:
                place, ask = waiting.pop()
                answers[place] = await self._send(reader, writer, "/v1/chat/completions", ask)
            writer.close()

        await asyncio.gather(*(work() for _ in range(at_once)))
        return [answers[place] for place in range(len(asks))]

    async def _send(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, document: dict[str, Any]
    ) -> tuple[bytes, float]:
        """The body, and seconds until its first token."""
        body = json.dumps(document).encode()
        began = time.perf_counter()
        writer.write(
            b"POST %s HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\n\r\n" % (path.encode(), len(body)) + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(f"{head!r}")
        if b"content-length: " in head:
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            return await reader.readexactly(length), time.perf_counter() - began
        parts: list[bytes] = []
        first = 0.0
        while size := int(await reader.readline(), 16):
            parts.append(await reader.readexactly(size))
            if not first and b'"content":"' in parts[-1] and b'"role"' not in parts[-1]:
                first = time.perf_counter() - began
            await reader.readexactly(2)
        await reader.readexactly(2)
        return b"".join(parts), first


if __name__ == "__main__":
    main()
