"""Callers who never stop, on kept connections, plain answers and streams in turn; what was acknowledged to them."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter

from chaos import DONE
from waiting import wait_for
from wire import Answer, Wire, body_for, new_nonce, post

from freehold.domain.traces import Trace


class Load:
    """`callers` threads. An answer that came to its end, or a stream that came to its [DONE], is acknowledged."""

    def __init__(self, url: str, callers: int = 8, model: str = "good") -> None:
        self.acknowledged: list[str] = []
        """Trace ids."""
        self.asked_at: dict[str, float] = {}
        """Of each of them: when (`time.monotonic`) its request was about to be sent."""
        self.wrong: list[Answer] = []
        """Whole answers that are not 200, or not of this request."""
        self.cut = 0
        """Answers that began and broke off."""
        self.lost = 0
        """Requests that got no answer at all: the connection was closed or refused."""
        self._url, self._model = url, model
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(callers)]

    def _run(self) -> None:
        wire: Wire | None = None
        for number in itertools.count():
            if self._stop.is_set():
                break
            try:
                wire = wire or Wire(self._url)
                whole = self._ask(wire, stream=number % 2 == 1)
            except OSError:
                self.lost += 1
                self._stop.wait(0.02)
                whole = False
            if not whole and wire is not None:
                wire.socket.close()
                wire = None
        if wire is not None:
            wire.socket.close()

    def _ask(self, wire: Wire, *, stream: bool) -> bool:
        nonce, began = new_nonce(), time.monotonic()
        answer = wire.ask(post(body_for(self._model, nonce, stream=stream)))
        if answer.whole and (answer.status != 200 or nonce.encode() not in answer.body):
            self.wrong.append(answer)
        elif answer.whole or DONE in answer.body:
            trace_id = answer.headers["x-freehold-trace"]
            self.asked_at[trace_id] = began
            self.acknowledged.append(trace_id)
        elif answer.status:
            self.cut += 1
        else:
            self.lost += 1
        return answer.whole

    def more(self, number: int, seconds: float = 30.0) -> None:
        """Wait for so many more acknowledged answers."""
        target = len(self.acknowledged) + number
        wait_for(lambda: len(self.acknowledged) >= target, seconds, f"{number} more answers")

    def kept_once(self, traces: list[Trace]) -> None:
        """Assert that every acknowledged answer is recorded, and no trace twice."""
        counts = Counter(trace.trace_id for trace in traces)
        lost = set(self.acknowledged) - set(counts)
        assert not lost, f"{len(lost)} of {len(self.acknowledged)} acknowledged traces are lost"
        assert max(counts.values()) == 1
        assert not self.wrong

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
