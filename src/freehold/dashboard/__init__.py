"""Stored data in, server-rendered pages out; no JavaScript at all.

Public name: `create_dashboard(settings)`, an ASGI application to put beside the gateway. It reads and never writes;
polars is loaded when the first page that needs it is asked for, and every query runs in a thread of its own.
"""

from freehold.dashboard.app import create_dashboard

__all__ = ["create_dashboard"]
