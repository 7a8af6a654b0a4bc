"""What a target says, put in force: planned, applied, looked at, and taken away again.

Everything asks an API server; nothing here knows of any target. The order of a deployment's life:
:mod:`preflight`, :mod:`plan`, :mod:`apply`, :mod:`status`, :mod:`verify`, :mod:`destroy`. What was
created is written down in the cluster (:mod:`inventory`), before it is created.
"""
