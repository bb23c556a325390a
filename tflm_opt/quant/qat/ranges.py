"""Which tensors have a range, and which share one.

An op that moves values gives its input's scale on; one that joins or compares tensors (a
concatenation, a maximum) needs all of its inputs in the scale of its output, or else the converter
puts an op before it that rounds them once more. So such tensors share a range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .rules import FIXED, Rule, fused_activation, kind_of, rule
from .trace import Call, Traced, Value


@dataclass(slots=True, eq=False)
class Group:
    """Tensors that share a range.

    Attributes:
        name: of the layer that holds it.
        given: a range that is fixed; else it is learned.
        places: how many tensors are looked at, to learn it from.
    """

    name: str
    given: tuple[float, float] | None = None
    places: int = 0
    _into: Group | None = None

    def root(self) -> Group:
        return self if self._into is None else self._into.root()

    def join(self, other: Group) -> None:
        """Make two groups one."""
        one, into = other.root(), self.root()
        if one is not into:
            one._into = into


@dataclass(slots=True)
class Ranges:
    """The plan.

    Attributes:
        of: the group of each value that has a range.
        rounded: values that are rounded where they are made; True where they are looked at too.
        recast: inputs of a call that come with a range which the call can't take.
    """

    of: dict[Value, Group] = field(default_factory=dict)
    rounded: dict[Value, bool] = field(default_factory=dict)
    recast: dict[tuple[Call, Value], Group] = field(default_factory=dict)

    def group(self, value: Value) -> Group:
        return self.of[value].root()


def planned(traced: Traced) -> Ranges:
    """The ranges of a model whose calls are one op each."""
    plan, readers = Ranges(), traced.readers()
    makers: dict[Value, Call] = {}
    for value in traced.inputs:
        plan.of[value] = Group(f"{value.symbol.name}_range")
        plan.rounded[value] = True
    for call in traced.calls:
        _plan_call(plan, call, rule(call.op), readers, makers)
        makers |= dict.fromkeys(call.outputs, call)
    return plan


def _plan_call(
    plan: Ranges,
    call: Call,
    of: Rule,
    readers: dict[Value, list[Call | None]],
    makers: dict[Value, Call],
) -> None:
    pooled = _is_relu_of_a_mean(call, readers, makers)
    if of.output in ("same", "tied") or pooled:
        group = _shared(plan, call)
        recast = any((call, value) in plan.recast for value in call.inputs)
        for value in call.outputs:
            plan.of[value] = group
            if of.output == "tied" or pooled or recast:
                plan.rounded[value] = False
        return
    for value in call.outputs:
        if of.fuses and _is_activated(readers[value]):
            continue
        plan.of[value] = Group(f"{call.op.name}_range", given_range(call.op, of))
        plan.rounded[value] = True


def given_range(op: Any, of: Rule) -> tuple[float, float] | None:
    """The range that an op's output has whatever its inputs are."""
    most = getattr(op, "tflm_opt_most", None)
    return (0.0, most) if most is not None else FIXED.get(of.output)


def _shared(plan: Ranges, call: Call) -> Group:
    """The one range of all inputs of a call; those that can't have it are recast."""
    inputs = [value for value in dict.fromkeys(call.inputs) if value in plan.of]
    groups = list(dict.fromkeys(plan.group(value) for value in inputs))
    if len(groups) == 1:
        return groups[0]
    learned = [group for group in groups if group.given is None]
    if not learned:
        if len({group.given for group in groups}) == 1:
            return groups[0]
        learned = [Group(f"{call.op.name}_range")]
    for group in learned[1:]:
        learned[0].join(group)
    for value in inputs:
        if plan.group(value).given is not None:
            plan.recast[call, value] = learned[0]
    return learned[0]


def _is_relu_of_a_mean(
    call: Call, readers: dict[Value, list[Call | None]], makers: dict[Value, Call]
) -> bool:
    """TFLite makes that ReLU a part of the pooling, whose output has its input's scale."""
    if fused_activation(call.op) is None:
        return False
    (value,) = call.inputs
    maker = makers.get(value)
    pools = maker is not None and kind_of(maker.op) in ("AveragePooling1D", "AveragePooling2D")
    return pools and len(readers[value]) == 1


def _is_activated(readers: Sequence[Call | None]) -> bool:
    """Whether the one reader is an activation that ops take in."""
    following = readers[0] if len(readers) == 1 else None
    return following is not None and takes_in(following.op)


def takes_in(op: Any) -> bool:
    """Whether an op may be a part of the op before it."""
    return fused_activation(op) is not None or hasattr(op, "tflm_opt_most")
