"""Steps of curating that bound what one caller can do to a dataset. Part of `freehold.config.curate_settings`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

_OpenShare = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
_Count = Annotated[int, msgspec.Meta(ge=1)]


class Influence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="influence"):
    """No one key, subject or source makes up more than a share of what is learned from."""

    by: tuple[Literal["key", "subject", "source"], ...] = ("key", "subject", "source")
    max_share: _OpenShare = 0.2
    """Of the rows. With a fifth, even a caller whose every row is wrong is outvoted four to one wherever others ask
    alike; and five equal tenants are just not cut. Where fewer share the rows than could meet it, nothing is cut."""
    max_feedback_share: _OpenShare = 0.2
    """Of the rows with feedback, for the same reason: what is above it is not listened to, and the rows stay."""


class FeedbackTrust(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="step", tag="feedback-trust"):
    """Keys whose feedback contradicts what all others say far more often than these each other are not listened to."""

    false_discoveries: _OpenShare = 0.01
    """Expected share of honest keys among those that are not listened to, at most."""
    min_judged: _Count = 10
    """Of fewer judgements nothing is said: ten wrong ones do little harm."""
    min_excess: _OpenShare = 0.15
    """How much more often a key must contradict the others than they each other: keys differ in how hard their requests
    are, and at 15% a key has a lower share of wrong feedback than most students' own mistakes."""
