"""Kubernetes objects, put together: what the operator, the deploy tool and packaging share.

Pure functions from plain values to the dictionaries that an API server is sent. Nothing here
knows of a custom resource, a cluster or a file.
"""
