"""HTTP in, HTTP out; thin. Serves route and record only.

Public names: `serve` (this process, or a supervisor over several), `serve_in_thread`, `Gateway`, `Runtime`.
"""

from freehold.gateway.app import Gateway
from freehold.gateway.process.server import RunningGateway, serve, serve_in_thread
from freehold.gateway.runtime import Runtime

__all__ = ["Gateway", "RunningGateway", "Runtime", "serve", "serve_in_thread"]
