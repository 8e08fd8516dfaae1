"""Base models: found by name, and used only when licence, files, architecture and hashes allow. No torch, no network.

Public names: `find_base`, `list_bases`, `check_hashes`, `require_same`, `require_chat_template`, `Base`, `Listed`,
`Memory`.
"""

from freehold.serving.bases.base import Base, Memory, require_chat_template
from freehold.serving.bases.find import Checked, Listed, check_hashes, find_base, list_bases, require_same

__all__ = [
    "Base",
    "Checked",
    "Listed",
    "Memory",
    "check_hashes",
    "find_base",
    "list_bases",
    "require_chat_template",
    "require_same",
]
