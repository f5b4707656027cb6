"""Domains: the values a hyperparameter may take, and their map to and from [0, 1].

A hyperparameter is *traced* (a number that one compiled program takes as an argument) or *static* (a value
that changes the program: a shape, an activation function, an optimizer); a static one travels as the int32
index of its option. `unit` is a float array in [0, 1]; `decode` works elementwise on any shape.
"""

from jaxtune.spaces.domains.choice import Choice
from jaxtune.spaces.domains.domain import Domain
from jaxtune.spaces.domains.integer import Integer
from jaxtune.spaces.domains.normal import LogNormal, Normal
from jaxtune.spaces.domains.uniform import LogUniform, Uniform

__all__ = ["Choice", "Domain", "Integer", "LogNormal", "LogUniform", "Normal", "Uniform"]
