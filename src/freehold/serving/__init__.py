"""Language models of one's own: their folders, and what answers with them. Imports torch only where it computes.

Public names: `GenerativeManifest`, `BaseUsed`, `Gate`, `Learned`, `learn_gate`, `read_gate`, `StudentAnswer`.
"""

from freehold.serving.folder import BaseUsed, GenerativeManifest
from freehold.serving.gate import Gate, Learned, StudentAnswer, learn_gate, read_gate

__all__ = ["BaseUsed", "Gate", "GenerativeManifest", "Learned", "StudentAnswer", "learn_gate", "read_gate"]
