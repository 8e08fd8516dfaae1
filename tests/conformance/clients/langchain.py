"""LangChain's chat models: over OpenAI's chat completions and responses, and over Anthropic's messages."""

from __future__ import annotations

from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

from . import anthropic_python, openai_python
from .cases import FINISH, INPUTS, Outcome
from .chat_requests import chat_request


class LangChain:
    """One of the three."""

    def __init__(self, url: str, kind: str) -> None:
        """`kind`: chat, responses or messages."""
        self._failure = anthropic_python.failure if kind == "messages" else openai_python.failure
        self._model: BaseChatModel
        if kind == "messages":
            settings: Any = {"model": "claude-test", "max_tokens": 500, "api_key": "sk-test"}
            self._model = ChatAnthropic(base_url=url, max_retries=0, **settings)
        else:
            self._model = ChatOpenAI(
                model="gpt-test",
                base_url=f"{url}/v1",
                api_key="sk-test",  # type: ignore[arg-type]
                max_retries=0,
                stream_usage=True,
                use_responses_api=kind == "responses",
            )

    def ask(self, feature: str, stream: bool) -> Outcome:
        model: Any = self._model
        if feature == "structured":
            schema = {"title": "answer", "description": "The answer", **INPUTS["schema"]}
            model = model.with_structured_output(schema, method="json_schema")
            found = list(model.stream(_messages(feature)))[-1] if stream else model.invoke(_messages(feature))
            return {"json": found}
        if feature in ("tool", "tools", "results"):
            model = model.bind_tools([{"type": "function", "function": INPUTS["tool"]}])
        if not stream:
            return _outcome(model.invoke(_messages(feature)))
        first, *rest = model.stream(_messages(feature))
        found: AIMessageChunk = first
        for chunk in rest:
            found += chunk
        return _outcome(found)

    def fail(self, status: int, stream: bool) -> Outcome:
        return self._failure(lambda: self.ask(f"error {status}", stream))


def _messages(feature: str) -> list[BaseMessage]:
    text = chat_request(feature, "")["messages"][-1 if feature == "text" else 0]["content"]
    if feature == "text":
        return [SystemMessage(INPUTS["system"]), HumanMessage(text)]
    if feature == "image":
        picture = {"type": "image", "base64": INPUTS["png"], "mime_type": "image/png"}
        return [HumanMessage([{"type": "text", "text": INPUTS["look"]}, picture])]
    if feature == "results":
        calls: list[Any] = [
            {"id": f"call_{n}", "name": "weather", "args": {"city": city}} for n, city in enumerate(("Paris", "Oslo"))
        ]
        results = [ToolMessage(degrees, tool_call_id=f"call_{n}") for n, degrees in enumerate(INPUTS["degrees"])]
        return [HumanMessage(text), AIMessage("", tool_calls=calls), *results]
    return [HumanMessage(text)]


def _outcome(message: AIMessage) -> Outcome:
    about, usage = message.response_metadata, message.usage_metadata
    finish = about.get("finish_reason") or about.get("stop_reason")
    return {
        "text": str(message.text),
        "calls": [[call["name"], call["args"]] for call in message.tool_calls],
        "finish": FINISH.get(finish or "", finish),
        "usage": [usage["input_tokens"], usage["output_tokens"]] if usage else None,
    }
