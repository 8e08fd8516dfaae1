"""Counsel's decisions for commands that look at a base model's rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.cli.common import open_store

if TYPE_CHECKING:
    from freehold.config import Settings
    from freehold.domain.counsel import Decision


def decided(settings: Settings, *assets: str) -> tuple[Decision, ...]:
    """Those about everything, or about these assets; there are none before anything was stored."""
    from freehold.store.counsel import decisions

    return decisions(open_store(settings), "", *assets) if settings.data.is_dir() else ()
