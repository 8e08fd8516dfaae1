"""The optional embedder (`pip install 'freehold[embed]'`): any local sentence-transformers folder.

A router that was fitted with one looks at the embedding beside hashed words, wants the same folder to serve, and costs
what the embedder costs per request.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import StudentError


class SentenceEmbedder:
    """A sentence-transformers model from a local folder; nothing is downloaded and no code of the folder is run."""

    def __init__(self, folder: Path) -> None:
        """Load it.

        Raises:
            StudentError: the extra is not installed, the folder is not a model, or its weights are not safetensors.
        """
        if not folder.is_dir() or not list(folder.rglob("*.safetensors")):
            raise StudentError(
                f"{folder} is no sentence-transformers folder with safetensors.", "Give the folder of a local model."
            )
        try:
            transformers: Any = import_module("sentence_transformers")
        except ImportError as error:
            raise StudentError(
                "The embedder needs sentence-transformers.", "Run `pip install 'freehold[embed]'`."
            ) from error
        try:
            self._model: Any = transformers.SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError, KeyError) as error:
            raise StudentError(f"{folder} cannot be loaded: {error}.", "Give the folder of a local model.") from error
        self.dimensions = int(self._model.get_sentence_embedding_dimension())

    def embed(self, text: str) -> NDArray[np.float32]:
        """The normalised embedding of one text, (dimensions,)."""
        return np.asarray(self._model.encode(text, normalize_embeddings=True, show_progress_bar=False), np.float32)
