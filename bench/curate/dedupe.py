"""Near-duplicates among documents with planted copies: speed, recall and false positives, ours beside peers.

    python -m bench.curate.dedupe [DOCUMENTS]

DOCUMENTS (200,000 by default) are made by bench/curate/documents.py: 10% near copies with 2, 5 or 10% of their words
edited and 5% in another case or spacing. A planted copy counts as found when it goes; a false positive is a document
without any copy that goes. CPU time is that of the process, the making of the documents excluded. rensa and datasketch
are given the same runs of two words; their results are candidates whose real similarity nobody looks at.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from bench.curate.documents import Document, documents

from freehold.config.curate_settings import NearDuplicates
from freehold.curate.steps.minhash import duplicates_of, signatures

SETTINGS = NearDuplicates()
PERMUTATIONS, BANDS = 96, 24
PEER_LIMIT = 20_000
"""datasketch is timed on so many documents at most: it takes about a second for 4,000."""


class Result(NamedTuple):
    """What one tool did."""

    tool: str
    documents: int
    seconds: float
    gone: Sequence[bool]


def ours(texts: list[str]) -> list[bool]:
    series = pl.Series(texts)
    signed = signatures(series, SETTINGS.words)
    return (duplicates_of(series, signed, SETTINGS.words, SETTINGS.threshold) >= 0).tolist()


def _runs(text: str) -> list[str]:
    words = "".join(one if one.isalnum() else " " for one in text.lower()).split()
    return [f"{one} {other}" for one, other in itertools.pairwise(words)] or words


def rensa(texts: list[str]) -> list[bool]:
    peer: Any = importlib.import_module("rensa")
    lsh = peer.RMinHashLSH(SETTINGS.threshold, PERMUTATIONS, BANDS)
    matrix = peer.RMinHash.digest_matrix_from_token_sets([_runs(text) for text in texts], PERMUTATIONS, 42)
    flags = lsh.insert_matrix_and_query_duplicate_flags(matrix)
    return [bool(flag) for flag in flags]


def datasketch(texts: list[str]) -> list[bool]:
    peer: Any = importlib.import_module("datasketch")
    lsh = peer.MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, PERMUTATIONS // BANDS))
    found: list[bool] = []
    for number, text in enumerate(texts):
        signed = peer.MinHash(num_perm=PERMUTATIONS)
        signed.update_batch([run.encode() for run in _runs(text)])
        found.append(bool(lsh.query(signed)))
        lsh.insert(number, signed)
    return found


def timed(tool: str, work: Callable[[list[str]], list[bool]], made: list[Document]) -> Result | None:
    try:
        started = time.process_time()
        gone = work([document.text for document in made])
    except ModuleNotFoundError:
        print(f"{tool} is not installed", file=sys.stderr)
        return None
    return Result(tool, len(made), time.process_time() - started, gone)


def row(result: Result, made: list[Document]) -> str:
    gone = np.array(result.gone)
    planted = np.array([document.of >= 0 for document in made])
    # A tool that keeps another one of two copies than the first is as right: only what has no copy must stay.
    copied = np.zeros(len(made), np.bool_)
    copied[[document.of for document in made if document.of >= 0]] = True
    edits = np.array([document.edits for document in made])
    recall = [float(gone[planted & (edits == share)].mean()) for share in (0.0, 0.02, 0.05, 0.1)]
    per_second = result.documents / result.seconds
    figures = " | ".join(f"{share:.4f}" for share in (float(gone[planted].mean()), *recall))
    false = int(gone[~planted & ~copied].sum())
    return f"| {result.tool} | {result.documents:,} | {per_second:,.0f} | {figures} | {false} |"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    made = documents(count, seed=1)
    few = documents(min(count, PEER_LIMIT), seed=1)
    print(f"`python -m bench.curate.dedupe {count}`\n")
    print("| tool | documents | per CPU second | recall | exact | 2% edited | 5% | 10% | false positives |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for tool, work, some in (
        ("Freehold, near-duplicates", ours, made),
        ("rensa RMinHashLSH, unverified", rensa, made),
        ("datasketch MinHashLSH, unverified", datasketch, few),
    ):
        if (result := timed(tool, work, some)) is not None:
            print(row(result, some), flush=True)


if __name__ == "__main__":
    main()
