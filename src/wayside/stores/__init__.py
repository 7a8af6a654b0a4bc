"""Where answers, documents and passages are kept. One file per kind of store.

A store answers the asks of :mod:`wayside.vocab.stores`. It never sees a tenant, a plugin or a
policy: partitions, spaces and keys are made by whoever asks.
"""

from __future__ import annotations

from wayside.stores.base import Store, Tools
from wayside.stores.registry import MEMORY, Stores

__all__ = ["MEMORY", "Store", "Stores", "Tools"]
