"""What a recorded response says, whatever its API: the text, the end, the tool calls and the usage.

Public names: `read_answer`, `Answer`, `ToolCall`, `Usage`.
"""

from freehold.record.answers.parts import Answer, ToolCall, Usage
from freehold.record.answers.read import read_answer

__all__ = ["Answer", "ToolCall", "Usage", "read_answer"]
