"""The hyperparameters of one trial, as the user's functions see them."""

from typing import Any, NoReturn

import jax


@jax.tree_util.register_pytree_with_keys_class
class Hyperparameters(dict):
    """A dict that may be read, not changed: functions are called more than once, and all see the same one."""

    def __getattr__(self, name: str) -> NoReturn:
        cure = f"write hp[{name!r}]" if name in self else "domains go into the space, and hp['name'] is a value of one"
        raise AttributeError(f"hp has no attribute {name!r}; hyperparameters are the items of a dict, {cure}.")

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            "hp can't be changed, since functions are called more than once: read it by hp['name'], or change a copy, "
            "dict(hp)."
        )

    __setitem__ = __delitem__ = pop = popitem = clear = update = setdefault = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def tree_flatten_with_keys(self) -> tuple[Any, tuple[str, ...]]:
        """For JAX, which knows a dict by its exact type."""
        return tuple((jax.tree_util.DictKey(name), self[name]) for name in self), tuple(self)

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], values: Any) -> "Hyperparameters":
        """See `tree_flatten_with_keys`."""
        return cls(zip(names, values, strict=True))
