"""Which models may be asked in place of the incumbent: those whose upstream needs no key of the caller's."""

from __future__ import annotations

from collections.abc import Mapping

from freehold.config import UpstreamSettings
from freehold.upstreams.matching import ModelMap


def why_unusable(upstreams: Mapping[str, UpstreamSettings], model: str, incumbent: str = "") -> str:
    """Why `model` cannot be asked in place of the incumbent, in a sentence with its remedy; empty if it can.

    A caller's key is for the upstream that the caller asked for. It is carried to no other, so a model elsewhere needs
    an upstream with a key of its own, or one that asks for none.

    Args:
        upstreams: the settings, by name.
        model: as its upstream calls it.
        incumbent: the model that callers ask for; empty: not known, so no key of a caller's can be counted on.
    """
    models = ModelMap({name: settings.models for name, settings in upstreams.items()})
    name = models.find(model)
    if name is None:
        return f"No upstream serves the model {model!r}: add it to the `models` of one."
    settings = upstreams[name]
    if settings.api_key_env or settings.keyless or (incumbent and models.find(incumbent) == name):
        return ""
    return (
        f"Upstream {name!r}, which serves {model!r}, has no key of its own, and callers' keys are not carried to it: "
        f"set upstreams.{name}.api_key_env, or keyless = true if it asks for none."
    )
