"""Language models of one's own: their folders, and what answers with them. Imports torch only where it computes.

Public names: `GenerativeManifest`, `BaseUsed`, `Gate`, `learn_gate`, `read_gate`, `StudentAnswer`.
"""

from freehold.serving.folder import BaseUsed, GenerativeManifest
from freehold.serving.gate import Gate, StudentAnswer, learn_gate, read_gate

__all__ = ["BaseUsed", "Gate", "GenerativeManifest", "StudentAnswer", "learn_gate", "read_gate"]
