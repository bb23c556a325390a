"""Spaces of nets: named choices, and the net that each combination of them stands for.

A space is anything with `choices`, `net`, `canonical` and `to_json`, as `Space` says; sampling,
mutation and crossover are functions of the choices alone, so a space of the user's own gets them
for nothing. `nas.spaces` has the ones that come with the package.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .net import Net

# A value for each choice of a space; plain numbers and words, so that JSON can hold it.
Architecture = dict[str, Any]


@runtime_checkable
class Space(Protocol):
    """What a search needs to know of a space.

    Example:
        >>> class Mlp:
        ...     choices = {"width": (8, 16, 32)}
        ...
        ...     def net(self, architecture): ...
        ...     def canonical(self, architecture):
        ...         return architecture
        ...
        ...     def to_json(self):
        ...         return {"kind": "my_package:Mlp"}

    Nets of one space are *nested*: where two nets have layers of the same name, the smaller layer
    uses the first filters and the middle of the kernel of the larger one; a layer that the smaller
    net lacks belongs to a branch whose "add" or "multiply" it lacks too, and the first input of
    that goes on in its place. That is what a supernet shares weights by; a space that is searched
    without one need not keep to it. `spaces.check_space` and `check_nested` check one of your own.
    """

    @property
    def choices(self) -> Mapping[str, tuple[Any, ...]]:
        """By name, the values that it can have, smallest first. Numbers or words."""
        ...

    def net(self, architecture: Mapping[str, Any]) -> Net:
        """The net of one combination of choices."""
        ...

    def canonical(self, architecture: Mapping[str, Any]) -> Architecture:
        """The same net with choices that have no effect on it at their first values."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain values; "kind" names the space, as `spaces.from_json` reads it."""
        ...


def sample(space: Space, rng: np.random.Generator) -> Architecture:
    """Each choice by itself, evenly; canonical."""
    return space.canonical({k: v[rng.integers(len(v))] for k, v in space.choices.items()})


def mutate(
    space: Space, parent: Mapping[str, Any], rng: np.random.Generator, rate: float = 0.1
) -> Architecture:
    """Each choice is drawn anew with probability `rate`, and one of them always."""
    names = [name for name, values in space.choices.items() if len(values) > 1]
    if not names:
        return space.canonical(parent)
    drawn = rng.random(len(names)) < rate
    drawn[rng.integers(len(names))] = True
    child = dict(parent)
    for name, anew in zip(names, drawn, strict=True):
        values = space.choices[name]
        if anew:
            others = [v for v in values if v != child[name]]
            child[name] = others[rng.integers(len(others))]
    return space.canonical(child)


def crossover(
    space: Space, one: Mapping[str, Any], other: Mapping[str, Any], rng: np.random.Generator
) -> Architecture:
    """Each choice from one of two parents, evenly."""
    return space.canonical({k: (one, other)[rng.integers(2)][k] for k in space.choices})


def largest(space: Space) -> Architecture:
    """The last value of each choice: the net that a supernet holds whole."""
    return space.canonical({name: values[-1] for name, values in space.choices.items()})


def smallest(space: Space) -> Architecture:
    """The first value of each choice."""
    return space.canonical({name: values[0] for name, values in space.choices.items()})


def key(architecture: Mapping[str, Any]) -> str:
    """A short name of an architecture, the same on every machine: 16 hex digits."""
    text = json.dumps(dict(architecture), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check(space: Space, architecture: Mapping[str, Any]) -> None:
    """Raise ValueError unless the architecture has a value of each choice and nothing else."""
    choices = space.choices
    if unknown := sorted(set(architecture) - set(choices)):
        raise ValueError(f"the space has no choice {unknown[0]!r}")
    for name, values in choices.items():
        if name not in architecture:
            raise ValueError(f"the architecture has no {name!r}")
        if architecture[name] not in values:
            found, allowed = architecture[name], ", ".join(map(str, values))
            raise ValueError(f"{name!r} is {found!r}; the space allows {allowed}")
