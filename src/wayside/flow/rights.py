"""What is left of a configuration when a caller may not use all of its models.

Whatever names a model asks here first: candidates of a decision, the default, those that stand in
for another, algorithms that ask models themselves, the list of models. Plugins are not among them:
a guard runs whoever asks. Where there is no caller, or one who may use everything, the same
objects come back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wayside.flow.compose import Composer
from wayside.flow.fallback import Fallbacks
from wayside.selection import Candidate
from wayside.vocab.access import Caller
from wayside.vocab.errors import RequestError

if TYPE_CHECKING:
    from wayside.decisions import Decision
    from wayside.flow import Policy, Recipe

CODE = "model_not_allowed"
MAX_TOLD = 20
"""Names of models that one message repeats."""


def may(caller: Caller | None, model: str) -> bool:
    """Whether ``model`` may answer; anything may where nobody is known."""
    return caller is None or caller.may(model)


def allowed(candidates: tuple[Candidate, ...], caller: Caller | None) -> tuple[Candidate, ...]:
    """Those of ``candidates`` that may answer ``caller``, in their order."""
    if caller is None or caller.models is None:
        return candidates
    left = tuple([c for c in candidates if c.model in caller.models])
    return candidates if len(left) == len(candidates) else left


def narrowed(composer: Composer, caller: Caller) -> Composer | None:
    """``composer`` that asks only models which ``caller`` may use, or ``None`` where it cannot do
    without others: a judge, a step's own model, or so many that answer.

    An algorithm that only asks in order to choose stays: a question to a model that may not be
    asked fails, and what it does then is its own.
    """
    if caller.models is None:
        return composer
    selector, candidates = composer.selector, allowed(composer.candidates, caller)
    asked = () if selector is None else selector.asks.values()
    if selector is not None and (
        len(candidates) < max(1, selector.least) or not caller.models.issuperset(asked)
    ):
        return None
    return dataclasses.replace(composer, candidates=candidates, may=caller.may)


def standing_in(fallbacks: Fallbacks | None, caller: Caller | None) -> Fallbacks | None:
    """Those of ``fallbacks`` that may answer ``caller``; ``None`` where none is left."""
    if fallbacks is None or caller is None or caller.models is None:
        return fallbacks
    models = caller.models
    left = tuple([o for o in fallbacks.options if o[0].served.target.name in models])
    if len(left) == len(fallbacks.options):
        return fallbacks
    return dataclasses.replace(fallbacks, options=left) if left else None


def listing(policy: Policy, caller: Caller | None) -> Mapping[str, bytes]:
    """The items of ``GET /v1/models`` that ``caller`` may ask for: models, and the names that
    route where anything of their recipe may answer."""
    if caller is None or caller.models is None:
        return policy.listing
    return {name: item for name, item in policy.listing.items() if _askable(policy, name, caller)}


def _askable(policy: Policy, name: str, caller: Caller) -> bool:
    recipe = policy.virtual.get(name)
    if recipe is not None:
        return _possible(recipe, caller)
    served = policy.concrete.get(name)
    return served is not None and caller.may(served.target.name)


def _possible(recipe: Recipe, caller: Caller) -> bool:
    """Whether anything may come of asking ``recipe``: an option without a model is one, too."""
    options = [*recipe.options.values(), *([recipe.default] if recipe.default else [])]
    return any([not o.candidate.model or caller.may(o.candidate.model) for o in options])


def not_allowed(name: str, caller: Caller) -> RequestError:
    """403 for a model that is there, and that the client named."""
    return _refused(f"You may not use the model `{name[:256]}`.", caller, param="model")


def none_left(decision: Decision | None, caller: Caller) -> RequestError:
    """403 where all that could answer is somebody else's. Names of models that ``caller`` may
    not use are not in it."""
    if decision is None:
        return _refused(f"No decision holds for this request, {_NO_DEFAULT}.", caller)
    count = len(decision.candidates)
    those = "the default model" if not count else "a model" if count == 1 else f"{count} models"
    holds = f"The decision {decision.name!r} holds for this request and wants {those}"
    if not count:
        return _refused(f"{holds}, which you may not use.", caller)
    none = "which you may not use" if count == 1 else "none of which answers you"
    return _refused(f"{holds}, {none}, {_NO_DEFAULT}.", caller)


_NO_DEFAULT = "and there is no default model that you may use"


def _refused(what: str, caller: Caller, param: str | None = None) -> RequestError:
    names = sorted(caller.models or ())
    more = f" and {len(names) - MAX_TOLD} more" if len(names) > MAX_TOLD else ""
    told = f"Models you may use: {', '.join(names[:MAX_TOLD])}{more}." if names else ""
    said = f"{what} {told or 'There is no model that you may use.'}"
    return RequestError(said, status=403, kind="permission_error", code=CODE, param=param)
