"""LiteLLM as a client: runs in a process of its own, whose path has LiteLLM and the `openai` it needs in front.

`python -m clients.litellm_child`: the first line on standard input is {url, inputs}, each further one a question.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from typing import Any

from clients.chat_requests import chat_outcome, chat_request

litellm: Any = importlib.import_module("litellm")  # in the folder that is put in front of this process's path only


def main() -> None:
    url = json.loads(sys.stdin.readline())["url"]
    litellm.suppress_debug_info = True
    for line in sys.stdin:
        question = json.loads(line)
        try:
            said = _answer(url, question)
        except Exception:  # noqa: BLE001 - whatever it is, the test that asked shall show it
            said = {"broken": traceback.format_exc()}
        sys.__stdout__.write(json.dumps(said) + "\n")  # type: ignore[union-attr]
        sys.__stdout__.flush()  # type: ignore[union-attr]


def _answer(url: str, question: dict[str, Any]) -> dict[str, Any]:
    feature, stream = question["feature"], question["stream"]
    if question["client"] == "embeddings":
        found = litellm.embedding("openai/text-test", input=["ab", "ü"], api_base=f"{url}/v1", api_key="sk-test")
        return {"outcome": {"vectors": [row["embedding"] for row in found.data]}}
    if question["client"] == "messages":
        target = {"model": "anthropic/claude-test", "api_base": url, "max_tokens": 500}
    else:
        target = {"model": "openai/gpt-test", "api_base": f"{url}/v1"}
    request = {**chat_request(feature, ""), **target, "api_key": "sk-test", "num_retries": 0, "max_retries": 0}
    try:
        if not stream:
            return {"outcome": chat_outcome(litellm.completion(**request))}
        chunks = list(litellm.completion(**request, stream=True, stream_options={"include_usage": True}))
        return {"outcome": chat_outcome(litellm.stream_chunk_builder(chunks, messages=request["messages"]))}
    except litellm.exceptions.APIError as error:
        return {"failed": _failure(error)}
    except litellm.exceptions.openai.APIStatusError as error:
        return {"failed": _failure(error)}


def _failure(error: Any) -> dict[str, Any]:
    headers = getattr(getattr(error, "response", None), "headers", {}) or {}
    found = getattr(error, "litellm_response_headers", None) or headers
    return {
        "classes": [kind.__name__ for kind in type(error).__mro__],
        "status": error.status_code,
        "retry_after": found.get("retry-after"),
        "message": str(error),
    }


if __name__ == "__main__":
    main()
