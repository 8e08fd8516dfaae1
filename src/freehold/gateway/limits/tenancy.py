"""What the keys of a gateway share at a provider, and must not see or change of each other's.

All callers with virtual keys use one key at the provider, which keeps files, batches, threads, fine-tuned models and
the like for that one key: whoever could list them would see every tenant's. Who holds the gateway's own key may.
Responses and conversations can be reached by their ids, which providers make too long to guess, but not listed.
"""

from __future__ import annotations

from freehold.domain.errors import Forbidden

SHARED = frozenset(
    (
        "assistants",
        "batches",
        "containers",
        "evals",
        "files",
        "fine-tunes",
        "fine_tuning",
        "organization",
        "organizations",
        "projects",
        "skills",
        "threads",
        "uploads",
        "vector_stores",
        "videos",
    )
)
"""First part of a path below /v1: kept by the provider, and to be listed there (OpenAI's and Anthropic's API)."""
_ONLY_BY_ID = frozenset(("responses", "conversations"))
_READ = frozenset((b"GET", b"HEAD"))


def check_shared(method: bytes, path: str, name: str) -> None:
    """Refuse a virtual key what is not its own alone.

    Args:
        method: as in HTTP.
        path: decoded, with /v1.
        name: the key's.

    Raises:
        Forbidden: it is something that the provider keeps for all keys of this gateway.
    """
    # As a lenient server might read it: without empty parts, parameters and capitals.
    parts = [part.partition(";")[0].strip().lower() for part in path.replace("\\", "/").split("/")]
    parts = [part for part in parts if part not in ("", ".", "v1")]
    first, second = (*parts, "", "")[:2]
    shared = (
        first in SHARED
        or (first == "messages" and second == "batches")
        or (first == "chat" and method != b"POST")  # completions that were stored
        or (first == "models" and method not in _READ)
        or (first in _ONLY_BY_ID and not second and method != b"POST")
    )
    if shared:
        raise Forbidden(
            f"The key {name!r} may not ask for {first!r} this way: the provider keeps that for all keys together.",
            "Use the gateway's own key.",
        )
