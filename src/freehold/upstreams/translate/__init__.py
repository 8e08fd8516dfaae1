"""Between OpenAI's chat completions and Anthropic's Messages, both ways, as pure functions of bytes.

Requests, answers, errors, and streams as they come (`StreamToOpenAI`, `StreamToAnthropic`). `tables.py` says what
becomes of every field: it travels as it is, is converted, is left out because the answer does not depend on it (and
the result says so, in `dropped`), or is refused by an error that names it and says what to do instead. Requests with
fields that no table knows are refused; unknown fields of answers are left out, and unknown content is an error.

Normal form. Translated to the other protocol and back, a document is the same in this form:

- `null`, and values that ask for nothing (`n: 1`, `stream: false`, `tool_choice.disable_parallel_tool_use: false`), are
  left out; content of one plain text block is a string; `stop` is a list.
- OpenAI: `developer` is `system`; leading instructions are one message; a request has a limit, and it is
  `max_completion_tokens`; `safety_identifier` is `user`; a stream has `include_usage`; `parallel_tool_calls: false` has
  a `tool_choice`, and is left out beside `none`; a function has `parameters`; a schema is `strict` and has the name
  "response"; blank arguments are `{}`; an assistant's empty text beside tool calls is left out; answers with a
  `refusal` have the finish reason `content_filter`, and those with tool calls `tool_calls` in place of `stop`.
- Anthropic: leading system turns are `system`; what the user says right after tool results is in their turn; an effort
  goes with adaptive thinking; an empty tool result is none; answers have one text block, after
  the thinking and before the calls.

The field-by-field source is each provider's published description of its API, as of November 2026.

Public names: `request_to_anthropic`, `request_to_openai`, `answer_to_anthropic`, `answer_to_openai`,
`error_to_anthropic`, `error_to_openai`, `StreamToAnthropic`, `StreamToOpenAI`, `Options`, `Translated`,
`TranslatedRequest`, `TranslatedError`, `chat_request`, `asked_of`, `prompt_of`, `READING`.
"""

from freehold.upstreams.translate.anthropic_answer import answer_to_openai
from freehold.upstreams.translate.anthropic_request import request_to_openai
from freehold.upstreams.translate.anthropic_stream import StreamToOpenAI
from freehold.upstreams.translate.errors import TranslatedError, error_to_anthropic, error_to_openai
from freehold.upstreams.translate.openai_answer import answer_to_anthropic
from freehold.upstreams.translate.openai_request import request_to_anthropic
from freehold.upstreams.translate.openai_stream import StreamToAnthropic
from freehold.upstreams.translate.requests import READING, asked_of, chat_request, prompt_of
from freehold.upstreams.translate.result import Translated, TranslatedRequest
from freehold.upstreams.translate.rules import Options

__all__ = [
    "READING",
    "Options",
    "StreamToAnthropic",
    "StreamToOpenAI",
    "Translated",
    "TranslatedError",
    "TranslatedRequest",
    "answer_to_anthropic",
    "answer_to_openai",
    "asked_of",
    "chat_request",
    "error_to_anthropic",
    "error_to_openai",
    "prompt_of",
    "request_to_anthropic",
    "request_to_openai",
]
