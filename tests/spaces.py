"""Random search spaces for property tests, with conditional choices and without."""

import itertools

from hypothesis import strategies as st

from jaxtune.spaces.domains import Choice, Domain, Integer, LogNormal, LogUniform, Normal, Uniform

CONTINUOUS = [Uniform(-1.0, 2.0), LogUniform(1e-4, 1.0), Normal(1.0, 0.5), LogNormal(-3.0, 1.0)]
DISCRETE = [
    Integer(1, 3),
    Integer(2, 9, step=3, static=True),
    Uniform(0.0, 1.0, step=0.25),
    Choice((1, 2.5), static=False),
    Choice(("relu", "tanh", None), weights=(1, 2, 1)),
]
CONSTANTS = [3, 0.1, "text", None]


@st.composite
def spaces(draw, finite=False, depth=2):
    """A dict name -> domain or constant; names repeat in sibling branches, never where both could exist."""
    names = itertools.count()
    leaves = st.sampled_from(DISCRETE + CONSTANTS if finite else DISCRETE + CONSTANTS + CONTINUOUS)

    def sub_space(level, first):
        space = {}
        for number in range(first, first + draw(st.integers(0 if level else 1, 3))):
            if level < depth and draw(st.integers(0, 2)) == 0:
                name = f"choice{next(names)}"
                options = [f"{name}-{option}" for option in "ab"[: draw(st.integers(1, 2))]]
                # Names of a level count on from where those of the level above, and of other choices of this one, end.
                begin = 10 * (level + 1) + 100 * int(name[6:])
                space[name] = Choice({option: sub_space(level + 1, begin) for option in options})
            else:
                space[f"x{number}"] = draw(leaves)
        return space

    return sub_space(0, 0)


def configurations(space):
    """All configurations of a finite space in the order of a grid, written without `jaxtune.spaces.enumeration`."""
    if not space:
        return [{}]
    (name, value), *rest = space.items()
    if isinstance(value, Choice) and value.branches is not None:
        heads = [
            {name: option, **branch}
            for option, entries in zip(value.options, value.branches, strict=True)
            for branch in configurations(dict(entries))
        ]
    elif isinstance(value, Domain):
        heads = [{name: value.option(index)} for index in range(value.num_options)]
    else:
        heads = [{name: value}]
    return [head | tail for head in heads for tail in configurations(dict(rest))]
