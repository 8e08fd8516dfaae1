"""`[students]` and `[models]`: how generative students are trained, served, watched and put in force."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]

StudentKind = Literal["auto", "classifier", "generative"]


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[students.server]`: the process that generative students answer in."""

    url: str = ""
    """Of a server that somebody else runs (`freehold student serve`, vLLM); empty: `freehold up` runs one itself."""
    api_key_env: str = ""
    """Environment variable with the key it asks for."""
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8485
    threads: Count = 1
    """Of arithmetic; small models gain nothing by more."""
    slots: Count = 32
    """Requests answered side by side; others wait."""


class RolloutSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[students.rollout]`: what a certified generative student goes through before it answers all that it may."""

    shadow_requests: Natural = 50
    """Requests that the incumbent answers and the student answers unseen; 0: none."""
    canary_share: Share = 0.1
    """Share of the accepted requests that callers then get its answers to."""
    canary_audits: Natural = 50
    """Audits of those before it answers all; 0: there is no canary."""


class SafetySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[students.safety]`: what a student must not have lost or learned, looked at before it is promoted."""

    enabled: bool = True
    refusals_kept: Share = 0.9
    """Least share of the requests that the incumbent refused, and that the student must refuse too or leave to it."""
    max_over_refusal: Share = 0.02
    """Largest share of answered requests that only the student refuses."""
    max_verbatim_tokens: Count = 50
    """Longest run of tokens of a fit row's answer that may come out for another prompt (Carlini et al. 2023)."""
    probes: str = ""
    """A JSONL file of prompts that must be refused (`{"prompt": …}`); empty: those recorded only."""


class StudentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[students]`: of tasks whose answers are open and have a scorer that computes."""

    recipe: str = "tiny"
    """A built-in recipe (`freehold recipes`), or a TOML file relative to the configuration file; empty: no generative
    students."""
    base: str = ""
    """The base model of recipes that name none."""
    server: ServerSettings = ServerSettings()
    rollout: RolloutSettings = RolloutSettings()
    safety: SafetySettings = SafetySettings()
    yield_share: Share = 0.0
    """While requests are being answered on this machine, training takes at most this share of its time; 0: it never
    waits, and runs when nobody else wants the processor, which was enough where it was measured (docs/scale.md)."""


class TaskStudentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tasks.NAME.student]`."""

    kind: StudentKind = "auto"
    """auto: a classifier where answers are closed, else a generative student."""
    recipe: str | None = None
    """In place of `[students] recipe`."""
    base: str | None = None


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[models]`: base models that students may be made from."""

    folders: tuple[str, ...] = ("models",)
    """Each holds base models as folders; relative to the configuration file."""
    hub: tuple[str, ...] = ()
    """Names on the Hugging Face hub that may be fetched by `freehold models fetch`; nothing else is ever fetched."""
    licences: dict[str, str] = {}
    """`[models.licences]`: name → id (`freehold rights list`), or `own`: of models whose files say nothing certain."""
