"""`/healthz`, `/readyz`, `/metrics`: for those who run it; no key is asked for, and nothing of a request is shown."""

from __future__ import annotations

import asyncio

from freehold.gateway.http import Reply, Request
from freehold.gateway.replies import reply_json
from freehold.gateway.runtime import Runtime
from freehold.gateway.telemetry.exposition import CONTENT_TYPE
from freehold.gateway.turn import Waiting


def healthz(runtime: Runtime, request: Request, reply: Reply) -> None:
    """The process is alive."""
    reply_json(reply, 200, {"status": "ok"})


def readyz(runtime: Runtime, request: Request, reply: Reply) -> None:
    """200 once the policy has been looked for; what is degraded is listed, because traffic flows all the same."""
    ready, degraded = runtime.watch.polled, runtime.degraded()
    document: dict[str, object] = {"ready": ready, "policy": runtime.watch.view.policy.version, "degraded": degraded}
    drill = runtime.watch.drill_now
    if drill is not None:
        document["drill"] = drill.drill_id
    reply_json(reply, 200 if ready else 503, document)


def metrics(runtime: Runtime, request: Request, reply: Reply) -> None:
    """Prometheus text about all workers of the data folder."""
    runtime.metrics.refresh()
    Waiting(reply, _metrics(runtime, reply))


async def _metrics(runtime: Runtime, reply: Reply) -> None:
    text = await asyncio.to_thread(runtime.metrics.text)  # reads files
    reply.whole(200, [(b"content-type", CONTENT_TYPE)], text.encode(errors="replace"))
