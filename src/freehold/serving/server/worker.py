"""The thread that computes: it steps every engine that has something to do, in turn, and tells the event loop once per
round what has come of it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from freehold.serving.engine import Ask, Engine, Running, limit_threads


class Said(NamedTuple):
    """What a request's answer has come to since it was last looked at."""

    text: str
    tokens: int
    """Of the answer so far."""
    ended: bool


class Stream:
    """One answer as the event loop sees it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, moved: asyncio.Event) -> None:
        """`moved` is set when there is something new; several answers to one request may share it."""
        self.loop = loop
        self.moved = moved
        self.said: deque[Said] = deque()

    def news(self) -> Said | None:
        """What is new; None: nothing."""
        if not self.said:
            return None
        texts: list[str] = []
        while True:
            last = self.said.popleft()
            texts.append(last.text)
            if last.ended or not self.said:
                return Said("".join(texts), last.tokens, last.ended)


class Worker:
    """Owns engines: after `start`, only its thread steps them."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._engines: tuple[Engine, ...] = ()
        self._leaving: tuple[Engine, ...] = ()
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._stopping = False
        self._moved: list[Stream] = []
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.failure: BaseException | None = None
        """What ended the thread, where it was not `stop`."""

    @property
    def engines(self) -> tuple[Engine, ...]:
        """All that are stepped."""
        return self._engines

    def start(self) -> None:
        """Begin to compute."""
        self._thread.start()

    def stop(self) -> None:
        """End; requests that run are left as they are."""
        self._stopping = True
        self._work.set()
        if self._thread.is_alive():
            self._thread.join()

    def add(self, engine: Engine) -> None:
        """Step this engine too."""
        with self._lock:
            self._engines = (*self._engines, engine)

    def retire(self, engine: Engine) -> None:
        """Let an engine go as soon as its running requests have ended; give it no new ones."""
        with self._lock:
            self._leaving = (*self._leaving, engine)
        self._work.set()

    def submit(self, engine: Engine, ask: Ask, stream: Stream) -> Running:
        """Queue a request; `stream` is told of its progress.

        Raises:
            RequestError: see `Engine.submit`.
        """
        running = engine.submit(ask, self._listener(stream))
        with self._lock:
            if engine not in self._engines:  # it was let go after the caller had looked it up
                self._engines, self._leaving = (*self._engines, engine), (*self._leaving, engine)
        self._work.set()
        return running

    def cancel(self, engine: Engine, running: Running) -> None:
        """End a request that nobody waits for any more."""
        if running.finish is None:
            engine.cancel(running)
            self._work.set()

    def _listener(self, stream: Stream) -> Callable[[Running], None]:
        def listen(running: Running) -> None:
            text = "" if running.speech is None else running.speech.new()
            stream.said.append(Said(text, len(running.tokens), running.finish is not None))
            self._moved.append(stream)

        return listen

    def _run(self) -> None:
        try:
            limit_threads(self._threads)
            while not self._stopping:
                if not self._round():
                    self._work.wait()
                    self._work.clear()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._stopping = True

    def _round(self) -> bool:
        """One step of each engine that has something to do; whether there was one."""
        busy = False
        for engine in self._engines:
            if engine.busy:
                busy = True
                engine.step()
        if self._moved:
            self._tell()
        if self._leaving:
            self._let_go()
        return busy

    def _tell(self) -> None:
        moved, self._moved = self._moved, []
        by_loop: dict[asyncio.AbstractEventLoop, list[Stream]] = {}
        for stream in moved:
            by_loop.setdefault(stream.loop, []).append(stream)
        for loop, streams in by_loop.items():
            try:
                loop.call_soon_threadsafe(_tell_all, streams)
            except RuntimeError:  # the loop is closed: nobody waits any more
                continue

    def _let_go(self) -> None:
        with self._lock:
            gone = {id(engine) for engine in self._leaving if not engine.busy}
            self._leaving = tuple(engine for engine in self._leaving if id(engine) not in gone)
            self._engines = tuple(engine for engine in self._engines if id(engine) not in gone)


def _tell_all(streams: list[Stream]) -> None:
    for stream in streams:
        stream.moved.set()
