"""The HTTP/1.1 shell: OpenAI- and Anthropic-compatible requests in, model servers' answers out.

``serve_http`` starts the data plane. It decides nothing: it reads a request strictly, asks
``runtime.handle``, and moves bytes.
"""

from __future__ import annotations

from wayside.gateway.server import HttpServer, serve_http

__all__ = ["HttpServer", "serve_http"]
