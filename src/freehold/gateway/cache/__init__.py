"""Whole answers given again to equal requests: exact match, off by default, never shared between tenants.

Public names: `ResponseCache` (one per worker), `Look` (what one request finds there), `Entry`, `tenant_of`,
`delete_tenant`.
"""

from freehold.gateway.cache.cache import Look, ResponseCache
from freehold.gateway.cache.entry import Entry
from freehold.gateway.cache.files import delete_tenant
from freehold.gateway.cache.request import tenant_of

__all__ = ["Entry", "Look", "ResponseCache", "delete_tenant", "tenant_of"]
