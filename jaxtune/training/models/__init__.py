"""What a user passed as a model: one view of linen and nnx."""

from typing import TYPE_CHECKING, Any, TypeAlias

from flax import linen as nn

from jaxtune.tasks import checks
from jaxtune.tasks.functions import asks_for, parameters
from jaxtune.training.models.common import EXTRAS, checked_flags, is_nnx
from jaxtune.training.models.linen import LinenModel
from jaxtune.training.models.precision import InPrecision

if TYPE_CHECKING:
    from jaxtune.training.models.nnx import NnxModel

Model: TypeAlias = "LinenModel | NnxModel | InPrecision"


def flax_model(model: Any, flags: Any = None) -> Model:
    """Finds out what kind of model a user passed.

    Raises:
        TypeError: A linen class, an nnx instance, or something else; or `flags` are no dict of flags.
    """
    given = None if flags is None else checked_flags(flags)
    if is_nnx(model):
        raise TypeError(
            "model is an nnx instance; pass its class or a function (hp, rngs) -> module, so that every "
            "trial can build its own."
        )
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise TypeError(f"model is the class {model.__name__}; pass {model.__name__}(...) or a function of hp.")
    if isinstance(model, nn.Module):
        return LinenModel(model, given)
    if not callable(model):
        raise TypeError(f"model must be a Flax module or a function that makes one, got {type(model).__name__}.")
    if asks_for(model, "rngs"):
        _check_takes_hp(model)
        # nnx takes a while to import; who passes such a model has done so.
        from jaxtune.training.models.nnx import NnxModel

        return NnxModel(model, given)
    checks.check_function("model", model, ("hp",))
    return LinenModel(model, given)


def _check_takes_hp(factory: Any) -> None:
    """Raises TypeError unless an nnx class or function can be called with (hp, rngs=rngs) and what it asks for."""
    others = [p for p in parameters(factory) if p.name not in ("rngs", *EXTRAS)]
    positional = [p for p in others if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    required = [p for p in others if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(required) > 1 or not positional:
        name, takes = getattr(factory, "__name__", "model"), ", ".join(p.name for p in parameters(factory))
        raise TypeError(
            f"model is called with (hp, rngs), but {name} takes ({takes}): "
            f"pass a function, as in lambda hp, rngs: {name}(...)."
        )
