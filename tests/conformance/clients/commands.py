"""Clients that are commands: `llm` and curl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .cases import INPUTS, PNG, Json, Outcome
from .chat_requests import chat_request

LLM_MODELS = """
- model_id: through-freehold
  model_name: gpt-test
  api_base: {url}/v1
  api_key_name: freehold
  vision: true
  supports_schema: true
"""


class Llm:
    """`llm`, with a model of its `extra-openai-models.yaml`."""

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder
        (folder / "extra-openai-models.yaml").write_text(LLM_MODELS.format(url=url))
        (folder / "keys.json").write_text(json.dumps({"freehold": "sk-test"}))
        (folder / "look.png").write_bytes(PNG)

    def ask(self, feature: str, stream: bool) -> Outcome:
        done = self._run(feature, stream)
        assert done.returncode == 0, done.stderr
        said = done.stdout.rstrip("\n")
        return {"text": said, "json": json.loads(said) if feature == "structured" else None}

    def fail(self, status: int, stream: bool) -> Outcome:
        done = self._run(f"error {status}", stream)
        assert done.returncode != 0, "it did not fail"
        return {"message": done.stderr}

    def _run(self, feature: str, stream: bool) -> subprocess.CompletedProcess[str]:
        options = {
            "text": ["--system", INPUTS["system"], INPUTS["hello"]],
            "structured": ["--schema", json.dumps(INPUTS["schema"]), INPUTS["forecast"]],
            "image": ["--attachment", str(self._folder / "look.png"), INPUTS["look"]],
        }
        command = [sys.executable, "-m", "llm", "prompt", "--model", "through-freehold", "--no-log"]
        command += [*([] if stream else ["--no-stream"]), *options.get(feature, [feature])]
        environment = {**os.environ, "LLM_USER_PATH": str(self._folder), "LLM_LOAD_PLUGINS": ""}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


class Curl:
    """curl."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, feature: str, stream: bool) -> Outcome:
        status, _, said = self._post(chat_request(feature, "gpt-test"), stream)
        assert status == 200, said
        return _streamed(said) if stream else _whole(json.loads(said))

    def fail(self, status: int, stream: bool) -> Outcome:
        found, headers, said = self._post(chat_request(f"error {status}", "gpt-test"), stream)
        message = json.loads(said)["error"]["message"]
        return {"status": found, "retry_after": headers.get("retry-after"), "message": message}

    def _post(self, body: Json, stream: bool) -> tuple[int, dict[str, str], str]:
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        command = ["curl", "--silent", "--show-error", "--no-buffer", "--include", "--max-time", "20"]
        command += ["--header", "Authorization: Bearer sk-test", "--json", json.dumps(body)]
        done = subprocess.run(
            [*command, f"{self._url}/v1/chat/completions"], capture_output=True, timeout=30, check=True
        )
        head, _, said = done.stdout.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), headers, said


def _whole(completion: Json) -> Outcome:
    message = completion["choices"][0]["message"]
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return {
        "text": message["content"],
        "texts": [choice["message"]["content"] for choice in completion["choices"]],
        "calls": [[call["name"], json.loads(call["arguments"])] for call in calls],
        "usage": [completion["usage"]["prompt_tokens"], completion["usage"]["completion_tokens"]],
    }


def _streamed(events: str) -> Outcome:
    """The pieces put together by hand, as a script in a shell would."""
    texts: dict[int, str] = {}
    calls: dict[int, list[str]] = {}
    usage: list[int] | None = None
    lines = [line.removeprefix("data: ") for line in events.split("\n") if line]
    assert lines[-1] == "[DONE]"
    for chunk in map(json.loads, lines[:-1]):
        for choice in chunk["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
            for part in choice["delta"].get("tool_calls") or ():
                call = calls.setdefault(part["index"], [part["function"].get("name", ""), ""])
                call[1] += part["function"]["arguments"]
        if chunk["usage"]:
            usage = [chunk["usage"]["prompt_tokens"], chunk["usage"]["completion_tokens"]]
    found = [[name, json.loads(arguments)] for name, arguments in calls.values()]
    return {"text": texts[0], "texts": list(texts.values()), "calls": found, "usage": usage}
