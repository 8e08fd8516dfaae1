"""What a small student learns of 5,000 recorded exchanges, asked in phrasings that none of them has.

    OMP_WAIT_POLICY=PASSIVE python -m bench.students.quality ticket [--seed 1] [--minutes 5] [--recipe tiny]

trains with our own recipe (tokenizer, examples with noise, weights), answers 500 held-out questions greedily, kept to
the schema that requests ask for if they do, and prints one JSON object: the share right (exact JSON, SQL by its result
on SQLite, numbers to a thousandth), seconds by wall clock and by CPU of each part (all processes), tokens per CPU
second, and whether all of it came within the minutes. What a recipe is tuned on is seed 0.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from bench.students.workloads import EXCHANGES, HELD_OUT, NAMES, WORKLOADS, Exchange, exchanges, held_out, right

from freehold.domain.evidence import Sample
from freehold.serving.engine.answers import answer_all
from freehold.serving.folder import MODEL, GenerativeManifest
from freehold.train.generative.fit import Fit, fit
from freehold.train.generative.prepare import prepare
from freehold.train.generative.tokenizer import Tokenizer, train_tokenizer
from freehold.train.recipes import Recipe, Scratch, load_recipe

TUNE_EVERY = 20
"""One exchange in so many is not learned, but looked at to stop early."""


class Spent(NamedTuple):
    """Time by wall clock and CPU time of this process and its children that ended, in seconds."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Spent:
        """Since some moment in the past."""
        usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return cls(time.monotonic(), sum(usage.ru_utime + usage.ru_stime for usage in usages))

    def since(self, before: Spent) -> dict[str, float]:
        """The difference, for people."""
        return {"wall_s": round(self.wall - before.wall, 1), "cpu_s": round(self.cpu - before.cpu, 1)}


class Made(NamedTuple):
    """A student that was made."""

    manifest: GenerativeManifest
    fitted: Fit
    tokens_per_example: float


def samples_of(rows: Sequence[Exchange]) -> list[Sample]:
    """The exchanges as the loop would curate them: what the incumbent said, not the truth."""
    return [
        Sample(
            trace_id=f"tr_{number:028x}",
            at_ns=number + 1,
            prompt=row.prompt,
            answer=row.answer,
            part="tune" if number % TUNE_EVERY == 0 else "fit",
            terms="own",
            input_tokens=0,
            output_tokens=0,
            uniform=True,
        )
        for number, row in enumerate(rows)
    ]


def make_student(
    folder: Path, name: str, rows: Sequence[Exchange], recipe: Recipe, seed: int, quiet: bool = True
) -> Made:
    """Exchanges → tokenizer → tokens → weights, in `folder`."""
    tokens, tuned, tokenizer, start, _ = prepare(samples_of(rows), recipe, None, seed)

    def watch(progress: Any) -> None:
        if not quiet:
            said = f"\r{progress.step}/{progress.steps} loss {progress.loss:.4f} tune {progress.tune_loss or 0:.4f}"
            print(
                f"{said} {progress.tokens_per_second:.0f} tok/s {progress.seconds_left:.0f} s left ",
                end="",
                file=sys.stderr,
            )

    fitted = fit(folder, recipe, tokens, tuned, seed, start, watch)
    tokenizer.save(folder / MODEL)
    manifest = GenerativeManifest(
        task="bench",
        dataset="bench",
        dataset_sha256="",
        seed=seed,
        recipe=msgspec.to_builtins(recipe),
        weights="full",
        context=recipe.data.context,
        max_answer_tokens=recipe.max_answer_tokens,
        answer_schema=WORKLOADS[name].answer_schema,
        parameters=fitted.parameters,
        input_tokens_fixed=0.0,
        input_tokens_per_character=0.25,
        output_tokens_per_character=0.25,
    )
    return Made(manifest, fitted, sum(len(one.tokens) for one in tokens) / len(tokens))


def tokenizer_of(rows: Sequence[Exchange], recipe: Recipe) -> Tokenizer:
    """A tokenizer of the fit rows' texts."""
    assert isinstance(recipe.model, Scratch)
    told = ((row.prompt, row.answer) for at, row in enumerate(rows) if at % TUNE_EVERY)
    return train_tokenizer(told, recipe.model, recipe.data.context)


def share_right(name: str, answers: Sequence[str], seed: int, misses: Callable[[str], None] | None = None) -> float:
    """Share of the held-out questions that `answers` answers; the others are told to `misses`."""
    questions = held_out(name, len(answers), seed)
    hits = 0
    for question, answer in zip(questions, answers, strict=True):
        hit = right(name, answer, question.truth)
        hits += hit
        if not hit and misses is not None:
            misses(f"{question.prompt}\n  is  {question.truth}\n  not {answer}")
    return hits / len(answers)


def measure(name: str, seed: int, minutes: float, recipe: Recipe, n: int = EXCHANGES, show: int = 0) -> dict[str, Any]:
    """Train and ask; the figures."""
    rows = exchanges(name, n, seed)
    prompts = [question.prompt for question in held_out(name, HELD_OUT, seed)]
    with tempfile.TemporaryDirectory(prefix="freehold-quality-") as place:
        folder = Path(place)
        began = Spent.now()
        made = make_student(folder, name, rows, recipe, seed, quiet=not sys.stderr.isatty())
        trained = Spent.now()
        answers = [answer.text for answer in answer_all(folder, made.manifest, None, prompts, None)]
        answered = Spent.now()
    missed: list[str] = []
    share = share_right(name, answers, seed, missed.append)
    for line in missed[:show]:
        print(line, file=sys.stderr)
    training, all_of_it = trained.since(began), answered.since(began)
    return {
        "workload": name,
        "recipe": recipe.name,
        "seed": seed,
        "exchanges": n,
        "right": round(share, 4),
        "held_out": HELD_OUT,
        "training": training,
        "answering": answered.since(trained),
        "all": all_of_it,
        "in_time": all_of_it["wall_s"] <= 60 * minutes,
        "parameters": made.fitted.parameters,
        "tokens": made.fitted.tokens,
        "tokens_per_example": round(made.tokens_per_example, 1),
        "tokens_per_cpu_s": round(made.fitted.tokens / training["cpu_s"]),
        "tune_loss": round(made.fitted.tune_loss or 0.0, 4),
        "stopped": made.fitted.stopped,
        "environment": made.fitted.environment,
    }


def main() -> int:
    """Measure one workload; prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--recipe", default="tiny", help="a built-in recipe or a TOML file")
    parser.add_argument("--exchanges", type=int, default=EXCHANGES)
    parser.add_argument("--show", type=int, default=0, help="so many wrong answers, on stderr")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe)
    print(json.dumps(measure(options.name, options.seed, options.minutes, recipe, options.exchanges, options.show)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
