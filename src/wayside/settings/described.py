"""Fields that are described by the docstrings below them.

Pydantic can read those itself, at the time a class is made: at every start of every command, of
two hundred classes, a quarter of the time that starting takes. Here they are read when somebody
asks for a schema.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema


@cache
def descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """What the docstrings of ``model`` and of its bases say of its fields, by name. Fields
    without one are left out, and so is a class whose source is not there."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if cls is not Described and issubclass(cls, Described):
            found |= _of(cls)
    return {name: text for name, text in found.items() if name in model.model_fields}


def _of(cls: type) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError):
        return {}
    (made,) = ast.parse(source).body
    assert isinstance(made, ast.ClassDef)
    found = {}
    for field, below in zip(made.body, made.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[field.target.id] = inspect.cleandoc(below.value.value)
    return found


class Described(BaseModel):
    """Base of models whose JSON Schema says what their fields are for."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        found = handler(core_schema)
        properties = handler.resolve_ref_schema(found).get("properties", {})
        for name, text in descriptions(cls).items():
            field = cls.model_fields[name]
            shown = properties.get(field.alias or name, properties.get(name))
            if shown is not None and field.description is None:
                whole = sorted([*shown.items(), ("description", text)])  # pydantic's own order
                shown.clear()
                shown.update(whole)
        return found
