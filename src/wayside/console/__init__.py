"""The console: what people look at and change in a browser, behind a login, with roles.

Its pages are built from ``console/`` (TypeScript, React, Vite) into ``static/``, which is in the
repository and in the wheel, so that nobody needs Node to run it. Its data is JSON under
``/console/api``, of the shapes in ``console/src/api/types.ts``.
"""
