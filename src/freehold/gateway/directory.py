"""The configured upstreams as runtime objects."""

from __future__ import annotations

from collections.abc import Mapping

from freehold.config import Settings, UpstreamSettings
from freehold.config.environment import key_from
from freehold.upstreams.base import Upstream
from freehold.upstreams.directory import Entry, UpstreamDirectory
from freehold.upstreams.http import HttpUpstream, Options, Place

STUDENTS = "student"
"""The upstream of generative students: its models are their ids, so that an answer is by `student/ID`."""


_STUDENT_MODELS = (f"{STUDENTS}/*",)


def asked_upstreams(settings: Settings) -> dict[str, UpstreamSettings]:
    """The configured upstreams, and the server of the generative students."""
    server = settings.students.server
    if not settings.students.recipe or STUDENTS in settings.upstreams:
        return dict(settings.upstreams)
    url = server.url or f"http://{server.host}:{server.port}/v1"
    ours = UpstreamSettings(
        base_url=url,
        api_key_env=server.api_key_env,
        keyless=not server.api_key_env,
        owned=True,
        models=_STUDENT_MODELS,
        terms="own",
        retries=0,
        connect_timeout=1.0,
        private=True,
    )
    return {**settings.upstreams, STUDENTS: ours}


def build_directory(upstreams: Mapping[str, UpstreamSettings]) -> UpstreamDirectory:
    """Nothing is connected before the first request.

    Raises:
        ConfigError: a base_url cannot be used, or a key's environment variable is not set.
    """
    return UpstreamDirectory([_entry(name, settings) for name, settings in upstreams.items()])


def rebuilt(
    old: UpstreamDirectory,
    before: Mapping[str, UpstreamSettings],
    after: Mapping[str, UpstreamSettings],
    *,
    anew: bool,
) -> tuple[UpstreamDirectory, list[Upstream]]:
    """The directory of changed settings, and the upstreams of `old` that are not in it any more.

    What did not change keeps its connections and its health, unless everything is to be made `anew`: what the settings
    name (keys in the environment, files of certificates) may have changed.

    Raises:
        ConfigError: as `build_directory`.
    """
    same = set[str]() if anew else {name for name, settings in after.items() if before.get(name) == settings}
    entries = [old.entries[name] if name in same else _entry(name, settings) for name, settings in after.items()]
    return UpstreamDirectory(entries), [entry.upstream for name, entry in old.entries.items() if name not in same]


def _entry(name: str, settings: UpstreamSettings) -> Entry:
    options = Options(
        protocol=settings.protocol,
        connect_timeout=settings.connect_timeout,
        first_byte_timeout=settings.first_byte_timeout,
        idle_timeout=settings.idle_timeout,
        retries=settings.retries,
        max_connections=settings.max_connections,
        private=settings.private,
        ca_file=settings.ca_file,
        proxy=settings.proxy,
        trust_env_proxy=settings.trust_env_proxy,
        health_path=settings.health_path,
        health_interval=settings.health_interval,
        hedge_after=settings.hedge_after,
        max_tokens=settings.translate.max_tokens,
        max_tokens_field=settings.translate.max_tokens_field,
        extensions=settings.translate.extensions,
    )
    fallbacks = [each if isinstance(each, str) else (each.upstream, each.model) for each in settings.fallbacks]
    upstream = HttpUpstream(name, _places(name, settings), options)
    return Entry(upstream, settings.models, fallbacks, by_name_only=settings.models == _STUDENT_MODELS)


def _places(name: str, settings: UpstreamSettings) -> list[Place]:
    own = key_from(settings.api_key_env, f"upstreams.{name}.api_key_env") if settings.api_key_env else None
    if not settings.deployments:
        return [Place(settings.base_url, own)]
    return [
        Place(
            each.base_url,
            key_from(each.api_key_env, f"upstreams.{name}.deployments.api_key_env") if each.api_key_env else own,
            each.weight,
        )
        for each in settings.deployments
    ]
