"""Configuration of Envoy, generated from the router's own settings. Pure.

:func:`wayside.envoy.bootstrap.bootstrap` is one file for an Envoy on the router's machine;
:func:`wayside.envoy.pod.files` are those of an Envoy in the router's pod, which follows them
when they change.
"""
