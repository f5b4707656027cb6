"""A task with one choice of static hyperparameters: what a group of trials trains."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.spaces.space import Space
from jaxtune.spaces.variant import Variant
from jaxtune.tasks.decoding import decode
from jaxtune.tasks.diagnosis import Suspect, failure_of
from jaxtune.tasks.functions import Functions, Inputs, inputs_of, trace
from jaxtune.tasks.task import Task

Traces = dict[Hashable, Functions]  # of one search, see `functions.trace`


@dataclass(frozen=True, eq=False)
class Case:
    """One variant of a space, and the task that its trials train.

    Attributes:
        task: With the batch size of the variant, where that has one.
        space: The space.
        variant: The static hyperparameters, and who else exists.
        traces: What this search has traced before.
    """

    task: Task
    space: Space
    variant: Variant
    traces: Traces

    @cached_property
    def structs(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Name -> shape and dtype of the traced hyperparameters."""
        shapes = jax.eval_shape(self.space.decode, jax.ShapeDtypeStruct((self.space.num_dims,), jnp.float32))
        return {name: shapes[key] for name, key in self.variant.traced.items()}

    @cached_property
    def values(self) -> dict[str, Any]:
        """A Python value of every hyperparameter: the middle of the domain where there is a choice."""
        with jax.ensure_compile_time_eval():  # `search` is called under jit
            middle = decode(np.full((1, self.space.num_dims), 0.5, np.float32), space=self.space)
            traced = {
                name: self.space.domain(key).to_python(np.asarray(middle[key])[0])
                for name, key in self.variant.traced.items()
            }
        return self.variant.hp(traced)

    @cached_property
    def functions(self) -> Functions:
        """The traced functions.

        Raises:
            TypeError: A traced number is used where Python needs a value; says which, and what to do about it.
            KeyError: The task reads a hyperparameter that the space lacks.
            Exception: Whatever the task's functions raise with plain Python values too.
        """
        error = self.failure()
        if error is None:
            return self._trace()
        options = {name: self.space.domain(key).num_options for name, key in self.variant.traced.items()}
        raise self.suspect.explained(error, options)

    @property
    def suspect(self) -> Suspect:
        """This case, where something has gone wrong."""
        return Suspect(self.task, self.values, self.structs)

    def failure(self) -> Exception | None:
        """What comes of tracing its functions; None if that works."""
        return failure_of(self._trace)

    def _trace(self) -> Functions:
        return trace(self.traces, self.task, self.variant, self._inputs)

    @cached_property
    def _inputs(self) -> Inputs:
        return inputs_of(self.task, self.structs)
