"""Writes episodes to a file: reads them one by one, makes what leaves, and puts the file there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import msgspec

from freehold.domain.errors import RequestError

if TYPE_CHECKING:
    from freehold.curate.trajectories import Refused, Rights, Trajectory
    from freehold.domain.episodes import Episode, Turn

Form = Literal["chat", "sharegpt", "atif", "otlp"]
TRAINING: frozenset[Form] = frozenset(("chat", "sharegpt"))
"""Forms of which each row weighs the same in training, so that the rows of a run are capped."""


class Report(msgspec.Struct, kw_only=True):
    """What was written, and what was not."""

    form: Form
    episodes: int = 0
    steps: int = 0
    rows: int = 0
    """Lines of the file: trajectories, or documents."""
    learned: int = 0
    """Answers with loss."""
    capped: int = 0
    """Trajectories beyond the cap of their run."""
    low_score: int = 0
    refused: list[Refused] = []
    left_out: Counter[str] = Counter()
    sha256: str = ""


class Exporter:
    """Makes the lines of one file."""

    def __init__(
        self,
        form: Form,
        *,
        rights: Rights,
        providers: Mapping[str, str],
        max_rows: int,
        min_score: float | None,
        redact: Callable[[Mapping[str, Turn]], dict[str, Turn]] | None,
    ) -> None:
        """See the options of `freehold episode export`; `providers`: upstream → its name in OpenTelemetry."""
        self.report = Report(form=form, refused=[], left_out=Counter())
        self._form: Form = form
        self._rights = rights
        self._providers = providers
        self._max_rows = max_rows
        self._min_score = min_score
        self._redact = redact

    def lines(self, episode: Episode, turns: Mapping[str, Turn]) -> Iterator[bytes]:
        """The lines of one episode."""
        if self._redact is not None:
            turns = self._redact(turns)
        self.report.episodes += 1
        self.report.steps += len(turns)
        for document in self._documents(episode, turns):
            self.report.rows += 1
            yield msgspec.json.encode(document) + b"\n"

    def _documents(self, episode: Episode, turns: Mapping[str, Turn]) -> Iterable[dict[str, Any]]:
        from freehold.curate.trajectories.formats import atif, chat, otlp, sharegpt

        if self._form == "otlp":
            return [otlp.otlp_document(episode, turns, self._providers)]
        trajectories = self._trajectories(episode, turns)
        self.report.learned += sum(item.learned for item in trajectories)
        if self._form == "atif":
            return atif.atif_documents(trajectories)
        return map(chat.chat_row if self._form == "chat" else sharegpt.sharegpt_row, trajectories)

    def _trajectories(self, episode: Episode, turns: Mapping[str, Turn]) -> tuple[Trajectory, ...]:
        from freehold.curate.trajectories import build_trajectories, cap_rows

        built = build_trajectories(episode, turns, self._rights)
        self.report.refused += built.refused
        self.report.left_out += built.left_out
        found = tuple(item for item in built.trajectories if self._good(item.score))
        self.report.low_score += len(built.trajectories) - len(found)
        kept = cap_rows(found, self._max_rows) if self._form in TRAINING else found
        self.report.capped += len(found) - len(kept)
        return kept

    def _good(self, score: float | None) -> bool:
        return self._min_score is None or (score is not None and score >= self._min_score)


@contextlib.contextmanager
def whole_file(path: Path, report: Report) -> Generator[Callable[[bytes], None]]:
    """Gives what takes the lines of a file that is there once all of them are, synced; its hash goes to `report`.

    Raises:
        RequestError: the file cannot be written; what was there before still is.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    digest = hashlib.sha256()
    try:
        with draft.open("xb") as file:
            yield _taking(file, digest.update)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Give --out a file in a folder that can be written.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    report.sha256 = digest.hexdigest()


def _taking(file: IO[bytes], *also: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def take(line: bytes) -> None:
        file.write(line)
        for one in also:
            one(line)

    return take
