"""`/healthz`, `/readyz`, `/metrics`: for those who run it; no key is asked for, and nothing of a request is shown."""

from __future__ import annotations

from freehold.gateway.replies import Receive, Scope, Send, reply, reply_bytes
from freehold.gateway.runtime import Runtime


async def healthz(runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """The process is alive."""
    await reply(send, 200, {"status": "ok"})


async def readyz(runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """200 once the policy has been looked for; what is degraded is listed, because traffic flows all the same."""
    ready, degraded = runtime.watch.polled, runtime.degraded()
    document = {"ready": ready, "policy": runtime.watch.view.policy.version, "degraded": degraded}
    await reply(send, 200 if ready else 503, document)


async def metrics(runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """Prometheus text."""
    text = runtime.metrics.text(
        shed=runtime.recorder.shed, stale=runtime.watch.stale, policy=runtime.watch.view.policy.version
    )
    await reply_bytes(send, 200, text.encode(), [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")])
