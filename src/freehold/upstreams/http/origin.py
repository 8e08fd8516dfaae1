"""Where an upstream is: its base URL, taken apart once."""

from __future__ import annotations

from urllib.parse import urlsplit

from freehold.domain.errors import ConfigError


class Origin:
    """Scheme, host, port and path of a base URL (a `freehold.upstreams.http.deployment.Target`).

    Raises:
        ConfigError: it is not an HTTP(S) URL.
    """

    __slots__ = ("extra", "host", "host_header", "path", "port", "prefix", "text", "tls")

    def __init__(self, base_url: str) -> None:
        try:
            parts = urlsplit(base_url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"The base_url {base_url!r} has no usable port.", "Give a number under 65536.") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or not base_url.isascii():
            raise ConfigError(f"The base_url {base_url!r} is not a URL.", "Give one such as https://host/v1.")
        if parts.username is not None or parts.query or parts.fragment or any(sign <= " " for sign in base_url):
            raise ConfigError(
                f"The base_url of {parts.hostname!r} has more than scheme, host, port and path.",
                "Leave out credentials, query and blanks; name the variable with the key as api_key_env.",
            )
        self.tls = parts.scheme == "https"
        self.host = parts.hostname
        self.port = port or (443 if self.tls else 80)
        self.path = parts.path.rstrip("/").encode()
        name = f"[{self.host}]" if ":" in self.host else self.host
        self.host_header = (f"{name}:{port}" if port else name).encode()
        self.text = f"{parts.scheme}://{name}:{self.port}"
        self.prefix = self.path
        self.extra = b""

    def relayed(self, credentials: bytes) -> None:
        """Have requests name the whole URL, as a proxy that relays them needs it (RFC 9112, 3.2.2)."""
        self.prefix = self.text.encode() + self.path
        if credentials:
            self.extra = b"proxy-authorization: %s\r\n" % credentials
