"""The loop between a cluster and :mod:`wayside.resources`: watch, ask what there shall be, write.

The only place that knows of queues, back-off, finalizers, events and leaders. What a custom
resource means is in its own file under ``resources/``.
"""
