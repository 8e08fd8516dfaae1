"""The settings of the tables' place, frozen."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import msgspec

from freehold.domain.errors import ConfigError


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[store]`: where the tables of traces, feedback and messages lie."""

    traces: str = ""
    """Such as `s3://bucket/prefix`; empty: the data folder. The store must support conditional writes (If-None-Match),
    as S3 itself does: on them rests that nothing is sealed twice."""
    endpoint: str = ""
    """URL of a store that is not AWS's own, such as `https://minio.example.org:9000`."""
    region: str = ""
    """Empty: as the environment says (AWS_REGION), else `us-east-1`."""
    allow_http: bool = False
    """Talk to an endpoint on this machine without TLS."""
    access_key_env: str = ""
    """Environment variable with the access key's id; empty: AWS's own ways to find credentials (AWS_ACCESS_KEY_ID, web
    identity, the instance's role)."""
    secret_key_env: str = ""
    """Environment variable with the secret that belongs to it."""
    session_token_env: str = ""
    """Environment variable with the token of temporary credentials."""


def check_store(where: str, settings: StoreSettings) -> None:
    """Refuse what cannot work, or would send data and credentials in the clear.

    Args:
        where: the configuration file, for messages.
        settings: what it says.

    Raises:
        ConfigError: the message says what to change.
    """
    if settings.traces and not (settings.traces.startswith("s3://") and urlsplit(settings.traces).netloc):
        raise ConfigError(
            f"{where}: store.traces is {settings.traces!r}, which is no place in an object store.",
            "Give one such as s3://bucket/prefix, or leave it empty for the data folder.",
        )
    if bool(settings.access_key_env) != bool(settings.secret_key_env):
        raise ConfigError(
            f"{where}: store.access_key_env and store.secret_key_env belong together, and only one is set.",
            "Set both, or neither for AWS's own ways to find credentials.",
        )
    if settings.endpoint.startswith("https://") or not settings.endpoint:
        return
    if not settings.endpoint.startswith("http://"):
        raise ConfigError(f"{where}: store.endpoint is {settings.endpoint!r}.", "Give a URL that starts with https://.")
    if not (settings.allow_http and _is_here(urlsplit(settings.endpoint).hostname or "")):
        raise ConfigError(
            f"{where}: store.endpoint {settings.endpoint} would carry traces without encryption.",
            "Use https://; http:// is for this machine's own addresses, with store.allow_http = true.",
        )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
