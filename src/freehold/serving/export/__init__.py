"""Students in forms that other programs serve: GGUF for llama.cpp, a Modelfile for Ollama. numpy only, no torch.

Public names: `export_gguf`, `Exported`, `modelfile`, `source_of`, `Source`.
"""

from freehold.serving.export.gguf import Exported, GgufType, export_gguf
from freehold.serving.export.ollama import modelfile
from freehold.serving.export.source import Source, source_of

__all__ = ["Exported", "GgufType", "Source", "export_gguf", "modelfile", "source_of"]
