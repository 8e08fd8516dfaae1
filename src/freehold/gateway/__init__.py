"""HTTP in, HTTP out; thin. Serves route and record only.

Public names: `serve` (this process, or a supervisor over several), `serve_in_thread`, `create_app`, `Runtime`.
"""

from freehold.gateway.app import create_app
from freehold.gateway.runtime import Runtime
from freehold.gateway.server import RunningGateway, serve, serve_in_thread

__all__ = ["RunningGateway", "Runtime", "create_app", "serve", "serve_in_thread"]
