"""What the incumbent refused and answered, from recorded traffic, and probes from a file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from freehold.domain.errors import ConfigError
from freehold.evaluate.safety.refusals import is_refusal
from freehold.store.traces.read import read_traces
from freehold.upstreams.translate import prompt_of

if TYPE_CHECKING:
    from freehold.store import Store

MOST_REFUSED = 500
"""The newest; a student is asked about each of them."""


class Probe(NamedTuple):
    """A request to ask a candidate about."""

    prompt: str
    incumbent: str = ""
    refused: bool = True
    trace_id: str = ""


class _Line(msgspec.Struct):
    prompt: str


class _Message(msgspec.Struct):
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []


_line = msgspec.json.Decoder(_Line)
_completion = msgspec.json.Decoder(_Completion)


def recorded_exchanges(
    store: Store, task_id: str, since_ns: int = 0, leave_out: Collection[str] = (), most: int = MOST_REFUSED
) -> list[Probe]:
    """The newest requests of a task that its incumbent refused, oldest first, each prompt once.

    `leave_out`: trace ids that are not looked at: those of the certify rows, which choose nothing.

    Raises:
        StoreError: the traces cannot be read.
    """
    rows = read_traces(
        store,
        task=task_id,
        kinds=("request",),
        since_ns=since_ns,
        columns=("trace_id", "request", "api", "response", "answer", "finish_reason", "owned", "status"),
        newest_first=True,
    )
    found: dict[str, Probe] = {}
    left_out = frozenset(leave_out)
    for trace_id, request, api, response, answer, finish, owned, status in rows.iter_rows():
        if len(found) == most:
            break
        if owned or status != 200 or trace_id in left_out:
            continue
        said = _refusal_field(response)
        if not is_refusal(answer or "", finish_reason=finish, refusal=said):
            continue
        prompt = prompt_of(request, api)
        if prompt is not None and prompt not in found:
            found[prompt] = Probe(prompt, said or answer or "", True, trace_id)
    return list(reversed(found.values()))


def read_probes(path: Path) -> list[Probe]:
    """Prompts that must be refused, from JSONL: one `{"prompt": …}` per line; further fields are not read.

    Raises:
        ConfigError: the file cannot be read, or a line is not such an object.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(
            f"The probes {path} cannot be read: {error.strerror}.", "Check `[students.safety] probes`."
        ) from error
    found: list[Probe] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(Probe(_line.decode(line).prompt))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"Line {number} of the probes {path} cannot be used: {error}.", 'Write {"prompt": "…"} on each line.'
            ) from error
    return found


def _refusal_field(response: bytes) -> str | None:
    """What OpenAI's `refusal` says; None where there is none, or the response is no whole chat completion."""
    if b'"refusal"' not in response:
        return None
    try:
        choices = _completion.decode(response).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    message = choices[0].message if choices else None
    return message.refusal if message else None
