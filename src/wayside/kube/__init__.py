"""A small Kubernetes client: connection, requests, watches, and what of the objects matters here.

Why our own, and what it leaves out: ``docs/explanation/kubernetes-client.md``.
"""
