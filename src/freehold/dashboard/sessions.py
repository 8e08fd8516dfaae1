"""Who has shown a key, until when, and the token that every form must carry: signed, so that nothing is stored. Pure.

A session is `kind.expires.nonce.signature`. It is signed with a secret made from the dashboard's keys: every worker can
check it, and whoever changes a key ends all sessions. It cannot be ended before its time from outside its browser.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Callable, Sequence

SESSION_SECONDS = 12 * 3600
_SIGNED_IN, _ANONYMOUS = "in", "anonymous"


class Keys:
    """What opens the dashboard: any of these keys."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = tuple(keys)

    def fit(self, given: bytes) -> bool:
        """Whether `given` is one of the keys; takes as long whichever it is, or none."""
        return sum(hmac.compare_digest(given, key) for key in self.keys) > 0


class Sessions:
    """Makes and checks sessions; `clock` gives Unix seconds."""

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        # Framed by their lengths: two sets of keys never make the same secret.
        framed = b"".join(len(key).to_bytes(4, "big") + key for key in keys.keys)
        self._secret = hmac.digest(framed, b"freehold dashboard session", "sha256")
        self._clock = clock

    def issue(self, *, signed_in: bool) -> str:
        """A new session; before anybody signs in, one that only binds the sign-in form to its browser."""
        kind = _SIGNED_IN if signed_in else _ANONYMOUS
        text = f"{kind}.{int(self._clock()) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
        return f"{text}.{self._sign('session', text)}"

    def holds(self, session: str) -> bool:
        """Whether `session` is ours and its time has not passed."""
        text, _, signature = session.rpartition(".")
        if not _same(signature, self._sign("session", text)):
            return False
        return int(text.split(".")[1]) > self._clock()

    def is_signed_in(self, session: str) -> bool:
        """Whether whoever holds `session` has shown a key."""
        return self.holds(session) and session.startswith(f"{_SIGNED_IN}.")

    def form_token(self, session: str) -> str:
        """What a form of this session must send back: other sites cannot know it."""
        return self._sign("form", session)

    def form_token_fits(self, session: str, token: str) -> bool:
        """Whether a form comes from a page of this session."""
        return self.holds(session) and _same(token, self.form_token(session))

    def _sign(self, purpose: str, text: str) -> str:
        digest = hmac.digest(self._secret, f"{purpose}:{text}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(), right.encode())
