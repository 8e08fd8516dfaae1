"""LiteLLM: rows of its table LiteLLM_SpendLogs, and the StandardLoggingPayload that its callbacks write.

Source: BerriAI/litellm 1.109.1, `litellm/proxy/schema.prisma` (model LiteLLM_SpendLogs) and `litellm/types/utils.py`
(StandardLoggingPayload). Calls of kinds other than chat completions are rejected, and so are rows without messages:
LiteLLM keeps those only where `store_prompts_in_spend_logs` is on. Of what a caller sent along nothing is kept but what
its answer depends on: keys, headers, metadata and addresses stay behind.
"""

from __future__ import annotations

from collections.abc import Iterator

from freehold.domain.errors import RowError
from freehold.record.importing import chat
from freehold.record.importing.exchange import Exchange
from freehold.record.importing.format import Format, Read, Shelf
from freehold.record.importing.values import Row, count_of, object_of, opened, text_of, time_ns

_CHAT = frozenset(("completion", "acompletion", "litellm.completion", "litellm.acompletion"))


def _role(row: Row) -> str | None:
    times = "startTime" in row and "call_type" in row
    if times and "request_id" in row and ("custom_llm_provider" in row or "spend" in row):
        return "spend-log"
    return "payload" if times and "id" in row and ("model_parameters" in row or "hidden_params" in row) else None


def _read(_role: str, row: Row, _shelf: Shelf) -> Iterator[Read]:
    kind = text_of(row, "call_type")
    if kind not in _CHAT:
        raise RowError("It is no call of chat completions.", "Only those of LiteLLM's calls are imported.")
    sent = object_of(row.get("proxy_server_request"))
    sent = object_of(sent.get("body")) or sent
    given = opened(row.get("messages")) or sent.get("messages")
    if isinstance(given, dict):
        given = object_of(given).get("messages")
    if not given:
        raise RowError("It holds no messages.", "LiteLLM keeps them where `store_prompts_in_spend_logs` is on.")
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
    yield _exchange(row, {**sent, **object_of(row.get("model_parameters"))}, chat.chat_messages(messages))


def _exchange(row: Row, sent: Row, messages: list[Row]) -> Exchange:
    response = object_of(row.get("response"))
    failed = text_of(row, "status") == "failure"
    begun, first, ended = (time_ns(row.get(name)) for name in ("startTime", "completionStartTime", "endTime"))
    answered = text_of(row, "model").rpartition("/")[2]
    failure = object_of(row.get("error_information")) or object_of(
        object_of(row.get("metadata")).get("error_information")
    )
    return Exchange(
        request={"messages": messages, **chat.parameters(sent)},
        response=None if failed else _completion(row, response, answered),
        own_id=text_of(row, "request_id", "id"),
        at_ns=begun,
        model=text_of(row, "model_group") or answered,
        answered=answered,
        provider=text_of(row, "custom_llm_provider"),
        status=(count_of(failure, "error_code") or 500) if failed else 200,
        error=f"litellm: {text_of(failure, 'error_class') or 'failure'}" if failed else None,
        cached=str(row.get("cache_hit")).lower() == "true",
        episode=text_of(row, "session_id"),
        agent=text_of(row, "agent_id"),
        subject=text_of(row, "end_user", "user"),
        first_byte_us=max(first - begun, 0) // 1000 if first and first < ended else 0,
        duration_us=max(ended - begun, 0) // 1000,
    )


def _completion(row: Row, response: Row, answered: str) -> Row:
    message = chat.answer_message(response or row.get("response"))
    if message is None:
        raise RowError("It holds no answer.", "LiteLLM keeps answers where `store_prompts_in_spend_logs` is on.")
    counts = object_of(response.get("usage"))
    cached = count_of(object_of(counts.get("prompt_tokens_details")), "cached_tokens") or 0
    used = chat.usage(count_of(row, "prompt_tokens"), count_of(row, "completion_tokens"), cached)
    return chat.completion(
        message,
        model=text_of(response, "model") or answered,
        finish=chat.finish_of(response),
        used=used,
        response_id=text_of(response, "id"),
    )


FORMAT = Format("litellm", "LiteLLM spend logs and logging payloads", ("spend-log", "payload"), _role, _read)
