"""What clients ask for, feature by feature, and what must come of it: data only, so that other processes get it too."""

from __future__ import annotations

import base64
from typing import Any, Protocol

from provider.script import FORECAST, IN_TOKENS, OUT_TOKENS, THOUGHT, digest, pieces

Json = dict[str, Any]
Outcome = dict[str, Any]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
WAV = (
    b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00"
    b"data\x00\x00\x00\x00"
)
HELLO = "Hällo, ¿qué tal? 你好"
CITY = {"type": "string", "description": "Where"}
INPUTS: Json = {
    "system": "Be brief.",
    "hello": HELLO,
    "tool": {
        "name": "weather",
        "description": "The weather of a city now",
        "parameters": {
            "type": "object",
            "properties": {"city": CITY},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
    "schema": {
        "type": "object",
        "properties": {"city": CITY, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
    "one": "Weather in Paris?",
    "two": "Weather in Paris, Oslo?",
    "degrees": ["21 °C", "4 °C"],
    "forecast": "How long shall I stay where?",
    "look": "What is this?",
    "png": base64.b64encode(PNG).decode(),
    "wav": base64.b64encode(WAV).decode(),
}
PARIS, OSLO = ["weather", {"city": "Paris"}], ["weather", {"city": "Oslo"}]
USAGE = [IN_TOKENS, OUT_TOKENS]
_GREETING = f"Grüße zu «{HELLO}» 👋"
EXPECTED: dict[str, Outcome] = {
    "text": {"text": f"[Be brief.] {_GREETING}", "finish": "stop", "usage": USAGE},
    "tool": {"calls": [PARIS], "finish": "tool", "usage": USAGE},
    "tools": {"calls": [PARIS, OSLO], "finish": "tool"},
    "not-parallel": {"calls": [PARIS], "finish": "tool"},
    "results": {"text": "Tools say: 21 °C; 4 °C", "finish": "stop"},
    "structured": {"json": {"city": "Paris", "days": 3}},
    "image": {"text": f"Grüße zu «What is this?» with image/png {digest(PNG)} 👋"},
    "audio": {"text": f"Grüße zu «What is this?» with audio/wav {digest(WAV)} 👋"},
    "logprobs": {"text": _GREETING, "tokens": pieces(_GREETING)},
    "several": {"texts": [_GREETING, f"{_GREETING} (1)", f"{_GREETING} (2)"]},
    "thinking": {"thinking": THOUGHT, "text": _GREETING},
    "continued": {"text": f"(after resp_1) {_GREETING}"},
}
assert FORECAST == '{"city":"Paris","days":3}'


class Client(Protocol):
    """A real client, pointed at the gateway."""

    def ask(self, feature: str, stream: bool) -> Outcome:
        """What came of asking for `feature`: the keys of EXPECTED."""
        ...

    def fail(self, status: int, stream: bool) -> Outcome:
        """The error its user sees: `classes`, `status`, `retry_after`, `message`."""
        ...


FINISH = {
    "stop": "stop",
    "end_turn": "stop",
    "tool_calls": "tool",
    "tool-calls": "tool",
    "tool_use": "tool",
}
CHAT = frozenset(EXPECTED) - {"thinking", "continued"}
RESPONSES = frozenset({"text", "tool", "tools", "not-parallel", "results", "structured", "image", "continued"})
MESSAGES = frozenset({"text", "tool", "tools", "not-parallel", "results", "structured", "image", "thinking"})
BOTH = MESSAGES - {"thinking"}
"""Features that OpenAI's chat completions and Anthropic's Messages both have, so that one can be translated."""
