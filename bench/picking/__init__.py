"""How well a router picks the replica: the load, the simulated fleet, who is compared, reports.

``bench/picking.py`` is the program; ``docs/explanation/picking-performance.md`` explains it.
"""
