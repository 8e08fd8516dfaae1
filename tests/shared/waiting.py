"""Wait for something that a test cannot be told of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def wait_for(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """Poll until `condition` gives something true, and return it."""
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"did not come about in {seconds:g} s: {what or condition}"
        tick.wait(0.02)
    return found
