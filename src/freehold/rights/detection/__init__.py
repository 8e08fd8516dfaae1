"""Which licence a model's folder comes under: by its texts word for word, else shown with what differs. Never guessed.

Public names: `detect`, `detect_text`, `Detected`, `TextFound`.
"""

from freehold.rights.detection.folder import Detected, detect
from freehold.rights.detection.texts import TextFound, detect_text

__all__ = ["Detected", "TextFound", "detect", "detect_text"]
