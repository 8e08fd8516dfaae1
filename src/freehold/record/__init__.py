"""Exchanges in, journal frames out; journals in, sealed trace table out.

Public names: `Recorder` (what the gateway calls). `freehold.record.sealer.Sealer` and `freehold.record.derive` are
imported from their own modules: they need polars and deltalake, which a gateway worker must not load.
"""

from freehold.record.recorder import Recorder

__all__ = ["Recorder"]
