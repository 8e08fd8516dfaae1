"""What a caller's key allows, and what one request of its took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, get_args

from freehold.access.meters import Meter
from freehold.domain.access import Limits, MeterName, VirtualKey
from freehold.domain.errors import Forbidden

_REMEMBERED = 1000
_FIRST_OUTPUT = 256.0
"""Tokens of output expected of a key's first answer."""
_WEIGHT = 1 / 16
"""Of the newest answer in the running mean of a key's output."""


class Account:
    """What a key or a team may use and has used, in one worker. Outlives changes of the key."""

    __slots__ = ("holder", "label", "mean_output", "meters", "nanousd", "requests", "tokens")

    def __init__(self, holder: str, label: str) -> None:
        self.holder = holder
        self.label = label
        """How messages call it: `key 'ci'`, `team 'search'`."""
        self.meters: dict[MeterName, Meter] = {}
        self.mean_output = _FIRST_OUTPUT
        self.requests = self.tokens = self.nanousd = 0
        """Used since it was last reported to the store."""

    def limit(self, limits: Limits) -> list[Meter]:
        """Hold `limits` from now on; returns the meters whose limit has changed or gone."""
        changed: list[Meter] = []
        for name in get_args(MeterName):
            limit, meter = limits.of(name), self.meters.get(name)
            if meter is not None and meter.limit != limit:
                changed.append(meter)
            if limit is None:
                self.meters.pop(name, None)
            elif meter is None:
                self.meters[name] = Meter(self.holder, name, limit)
            else:
                meter.limit = limit
        return changed


class Grant:
    """A valid key, as the gateway needs to know it. One per key and worker, until the key or its team changes."""

    __slots__ = (
        "_models",
        "_rates",
        "_seen",
        "_tasks",
        "accounts",
        "corrected",
        "costs",
        "key_id",
        "limited",
        "meters",
        "name",
        "own",
        "rated",
        "scoped",
        "team",
    )

    def __init__(self, key: VirtualKey | None, accounts: Sequence[Account] = (), *, own: bool = True) -> None:
        """`own`: see there. Without a key nothing is limited."""
        self.key_id = key.key_id if key else None
        """For the trace; None for the gateway's own key and for nobody's."""
        self.name = key.name if key else ""
        self.team = key.team if key else ""
        self.own = own
        """Whether what the caller sent is this gateway's key, so that it must never go upstream."""
        self.accounts = tuple(accounts)
        self.meters = tuple(meter for account in accounts for meter in account.meters.values())
        self.corrected = tuple(meter for meter in self.meters if meter.unit)
        """The meters whose use is known only afterwards: all but those of requests."""
        self._rates = _rates(self.meters)
        self.rated = bool(self._rates)
        """Whether requests or tokens are limited per minute."""
        self._models = key.models if key else ()
        self._tasks = key.tasks if key else ()
        self.limited = bool(self.accounts)
        """Whether what it uses has to be counted."""
        self.costs = any(meter.unit == 2 for meter in self.meters)
        """Whether dollars are limited: then a request whose price is unknown cannot be let through."""
        self.scoped = bool(self._models or self._tasks)
        """Whether it is limited to some models or tasks."""
        self._seen: set[tuple[str, str, str]] = set()

    def allows_model(self, model: str) -> bool:
        """Whether it may ask for `model`."""
        return not self._models or any(fnmatchcase(model, pattern) for pattern in self._models)

    def check(self, model: str, task: str = "", task_id: str = "") -> None:
        """Whether it may ask for this model on behalf of this task (its name, its id).

        Raises:
            Forbidden: it may not; the message says which of both it is.
        """
        if not self.scoped:
            return
        asked = (model, task, task_id)
        if asked in self._seen:
            return
        if not self.allows_model(model):
            what = f"the model {model!r}" if model else "requests that name no model"
            raise Forbidden(f"The key {self.name!r} does not allow {what}.", f"It allows: {', '.join(self._models)}.")
        if self._tasks and not any(fnmatchcase(name, each) for name in (task, task_id) if name for each in self._tasks):
            what = f"the task {task or task_id!r}" if task or task_id else "requests without a task"
            raise Forbidden(
                f"The key {self.name!r} does not allow {what}.",
                f"Send x-freehold-task with one that it allows: {', '.join(self._tasks)}.",
            )
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen.add(asked)

    def estimate(self, body_bytes: int, max_tokens: int | None) -> tuple[int, int]:
        """Tokens that a request is expected to need: (input, output).

        Four bytes a token; of the output what the request allows at most, or the mean of this key's answers so far.
        """
        output = max_tokens if max_tokens is not None else int(self.accounts[0].mean_output) if self.accounts else 0
        return body_bytes // 4, output

    def headers(self) -> list[tuple[bytes, bytes]]:
        """`x-ratelimit-*` as OpenAI sends them, of whichever of key and team has less left, as known here."""
        found: list[tuple[bytes, bytes]] = []
        if not self._rates:
            return found
        now = time.time()
        for limit, remaining, reset, meters in self._rates:
            meter = meters[0]
            left = _remaining(meter)
            for other in meters[1:]:
                others = _remaining(other)
                if others < left:
                    meter, left = other, others
            seconds = meter.ends - now
            found += (
                (limit, b"%d" % meter.limit),
                (remaining, b"%d" % left),
                (reset, b"%ds" % (seconds + 1 if seconds > 0 else 0)),
            )
        return found


def _rates(meters: Sequence[Meter]) -> list[tuple[bytes, bytes, bytes, list[Meter]]]:
    """Per kind of rate: the names of its headers, and its meters."""
    found: list[tuple[bytes, bytes, bytes, list[Meter]]] = []
    for name in ("requests", "tokens"):
        same = [meter for meter in meters if meter.name == name]
        if same:
            limit, remaining, reset = (
                f"x-ratelimit-{what}-{name}".encode() for what in ("limit", "remaining", "reset")
            )
            found.append((limit, remaining, reset, same))
    return found


def _remaining(meter: Meter) -> int:
    left = meter.free + meter.left if meter.left > 0 else meter.free
    return left if left < meter.limit else meter.limit


class Ticket:
    """What one request took. Settle it once, when it is known what was really used."""

    __slots__ = ("_at", "_changed", "_grant", "_nanousd", "_settled", "_tokens")

    def __init__(self, grant: Grant, tokens: int, nanousd: int, at: float, changed: Callable[[Account], Any]) -> None:
        """`changed` is told of the accounts whose use was noted."""
        self._grant = grant
        self._tokens = tokens
        self._nanousd = nanousd
        self._at = at
        self._changed = changed
        self._settled = False

    def settle(self, tokens: int, nanousd: int, output_tokens: int | None = None) -> None:
        """Correct what was taken to what was used, if the window goes on; the second time does nothing. Never raises.

        Args:
            tokens: in and out.
            nanousd: what they cost.
            output_tokens: of the tokens, those of the answer: they teach what to expect of the key's next one.
        """
        if self._settled:
            return
        self._settled = True
        grant = self._grant
        at = self._at
        for meter in grant.corrected:
            if meter.began <= at:
                meter.left -= tokens - self._tokens if meter.unit == 1 else nanousd - self._nanousd
        changed = self._changed
        for account in grant.accounts:
            account.requests += 1
            account.tokens += tokens
            account.nanousd += nanousd
            changed(account)
        if output_tokens is not None and grant.accounts:
            account = grant.accounts[0]
            account.mean_output += (output_tokens - account.mean_output) * _WEIGHT
