"""Calls of kernels as C text.

A kernel takes a dozen arguments, and the code that passes them is longer than what they say. So all
that calls of a kernel differ in lies in constants, and one small function a kernel passes them on:

    struct call_arm_convolve_1x1_s8_fast {
        cmsis_nn_context ctx;
        cmsis_nn_conv_params params;
        ...
        int8_t *output;
    };

    static TFLM_OPT_CALL arm_cmsis_nn_status run_arm_convolve_1x1_s8_fast(
        const struct call_arm_convolve_1x1_s8_fast *call)
    {
        return arm_convolve_1x1_s8_fast(&call->ctx, &call->params, ..., call->output);
    }

    static const struct call_arm_convolve_1x1_s8_fast call = {{arena + 0, 1148}, {...}, ...};
    if (run_arm_convolve_1x1_s8_fast(&call) != ARM_CMSIS_NN_SUCCESS) { return 1; }

Calls that differ from step to step of a stage, and those with few arguments, pass them directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tflm_opt.codegen import emit
from tflm_opt.codegen.call import (
    Argument,
    Call,
    Constant,
    Field,
    Lines,
    Null,
    Pointer,
    Pointers,
    Scratch,
    Span,
    Struct,
    Vary,
)
from tflm_opt.graph.ir import Tensor
from tflm_opt.kernels import table

FEW = 5  # arguments: fewer are passed directly


@dataclass(frozen=True, slots=True)
class _Passed:
    """One argument of one call.

    Attributes:
        ctype: its type; "" for a null pointer, which is the same in all calls of a record.
        role: what it is.
        value: a C initializer.
        address: whether the kernel takes the value's address.
        varies: whether it differs from step to step, so that it can't be a constant.
        before: statements that the value needs.
    """

    ctype: str
    role: str
    value: str
    address: bool = False
    varies: bool = False
    before: str = ""


_MOVE = "tflm_opt_move_bytes"


@dataclass(slots=True)
class Calls:
    """What a model's code calls: kernels, through functions that pass on a record's fields.

    Attributes:
        kernels: the functions of `kernels/table.toml`.
    """

    kernels: set[str] = field(default_factory=set)
    _names: dict[tuple[str, tuple[tuple[str, str], ...]], str] = field(default_factory=dict)
    _texts: list[str] = field(default_factory=list)

    def move(self, to: str, what: str, size: int | str) -> str:
        """A statement that copies `size` bytes, wherever `to` and `what` lie."""
        self.kernels.add(_MOVE)
        return f"{_MOVE}({to}, {what}, {size});"

    def text(
        self, call: Call, outputs: tuple[Tensor, ...], ctx: emit.OpContext, number: int
    ) -> str:
        """One call as C statements that return `number` if it fails. Ends with a newline."""
        function = _kernel(call, ctx)
        self.kernels.add(function)
        passed = [_passed(argument, outputs, ctx) for argument in call.arguments]
        lines = [one.before for one in passed if one.before]
        if len(passed) < FEW or any(one.varies for one in passed):
            lines += [_declared(one) for one in passed if one.address]
            head = f"{function}("
            arguments = [f"&{one.role}" if one.address else one.value for one in passed]
        else:
            record = self._record(function, passed, call.status)
            values = ",\n".join(f"    {one.value}" for one in passed if one.ctype)
            lines.append(f"static const struct call_{record} call = {{\n{values}}};")
            head, arguments = f"run_{record}(", ["&call"]
        head, tail = (
            (f"if ({head}", f") != ARM_CMSIS_NN_SUCCESS) {{ return {number}; }}")
            if call.status
            else (head, ");")
        )
        lines.append(head + f",\n{' ' * len(head)}".join(arguments) + tail)
        return "".join(f"        {line}\n" for line in "\n".join(lines).splitlines())

    def definitions(self) -> str:
        """The records' types and the functions that take them, in the order of first use."""
        return "\n".join(self._texts)

    def _record(self, function: str, passed: Sequence[_Passed], status: bool) -> str:
        """The name of the type for a kernel's arguments; calls with others have another one."""
        key = (function, tuple((one.ctype, one.role) for one in passed))
        if key not in self._names:
            taken = sum(name == function for name, _ in self._names)
            name = f"{function}_{taken + 1}" if taken else function
            self._names[key] = name
            self._texts.append(_definition(name, function, passed, status))
        return self._names[key]


def _definition(name: str, function: str, passed: Sequence[_Passed], status: bool) -> str:
    """The type of a record and the function that passes its fields on."""
    names = _fields(passed)
    space = ["" if one.ctype.endswith("*") else " " for one in passed]
    members = "".join(
        f"    {one.ctype}{gap}{field_};\n"
        for one, field_, gap in zip(passed, names, space, strict=True)
        if one.ctype
    )
    arguments = [
        ("&call->" if one.address else "call->") + field_ if one.ctype else one.value
        for one, field_ in zip(passed, names, strict=True)
    ]
    result = "arm_cmsis_nn_status" if status else "void"
    head = f"    {'return ' if status else ''}{function}("
    pad = " " * len(head)
    return (
        f"struct call_{name} {{\n{members}}};\n\n"
        f"static TFLM_OPT_CALL {result} run_{name}(\n"
        f"    const struct call_{name} *call)\n{{\n"
        f"{head}" + f",\n{pad}".join(arguments) + ");\n}\n"
    )


def _fields(passed: Sequence[_Passed]) -> list[str]:
    """Roles, numbered where two arguments have the same."""
    names: list[str] = []
    for one in passed:
        same = sum(before.role == one.role for before in passed[: len(names)])
        names.append(f"{one.role}{same + 1}" if same else one.role)
    return names


def _declared(one: _Passed) -> str:
    static = "" if one.varies else "static "
    return f"{static}const {one.ctype} {one.role} = {one.value};"


def _kernel(call: Call, ctx: emit.OpContext) -> str:
    """The function to call: another one where there is no scratch."""
    without = table.kernels()[call.function].without
    return without if without is not None and not ctx.scratch[1] else call.function


def _passed(argument: Argument, outputs: tuple[Tensor, ...], ctx: emit.OpContext) -> _Passed:
    match argument:
        case Struct(type=ctype, role=role, fields=fields):
            value = _braces(fields, ctx)
            return _Passed(ctype, role, value, address=True, varies=_varies(fields))
        case Pointer(tensor=tensor):
            return _pointer(tensor, ctx, writable=tensor in outputs)
        case Pointers(role=role, tensors=tensors, writable=writable):
            return _pointers(role, tensors, ctx, writable=writable)
        case Lines(name=name):
            return _Passed("const tflm_opt_lines *", name, f"&{name}", varies=True)
        case Span():
            return _Passed("const tflm_opt_span *", "span", "&span", varies=True)
        case Scratch():
            offset, size = ctx.scratch
            place = f"arena + {offset}, {size}" if size else "NULL, TFLM_OPT_WITHOUT_SCRATCH"
            return _Passed("cmsis_nn_context", "ctx", f"{{{place}}}", address=True)
        case Constant(role=role, data=data):
            return _Passed(f"const {emit.C_TYPES[data.dtype.name]} *", role, _field(argument, ctx))
        case Null():
            return _Passed("", "none", "NULL")
        case Vary():
            return _Passed("int32_t", "number", _field(argument, ctx), varies=True)
        case _:
            ctype = "float" if isinstance(argument, float) else "int32_t"
            return _Passed(ctype, "number", _field(argument, ctx))


def _pointer(tensor: Tensor, ctx: emit.OpContext, *, writable: bool) -> _Passed:
    value = emit.tensor_pointer(tensor, ctx, writable=writable)
    const, role = ("", "output") if writable else ("const ", "input")
    return _Passed(f"{const}{emit.C_TYPES[tensor.dtype]} *", role, value, varies=ctx.moves(tensor))


def _pointers(
    role: str, tensors: Sequence[Tensor], ctx: emit.OpContext, *, writable: bool
) -> _Passed:
    const = "" if writable else "const "
    places = [emit.tensor_pointer(t, ctx, writable=writable) for t in tensors]
    listed = ", ".join(f"({const}int8_t *){place}" for place in places)
    moves = any(ctx.moves(tensor) for tensor in tensors)
    static = "" if moves else "static "
    array = f"{static}{const}int8_t *const {role}[{len(places)}] = {{{listed}}};"
    return _Passed(f"{const}int8_t *const *", role, role, varies=moves, before=array)


def _varies(fields: tuple[Field, ...]) -> bool:
    return any(isinstance(f, Vary) or (isinstance(f, tuple) and _varies(f)) for f in fields)


def _braces(fields: tuple[Field, ...], ctx: emit.OpContext) -> str:
    return "{" + ", ".join(_field(item, ctx) for item in fields) + "}"


def _field(item: Field, ctx: emit.OpContext) -> str:
    match item:
        case tuple():
            return _braces(item, ctx)
        case Constant(role=role, data=data, paired=paired):
            return ctx.constants.pointer(f"{ctx.prefix}_{role}", data, role, paired)
        case Null():
            return "NULL"
        case Vary(column=column):
            return f"v[{column}]"
        case _:
            return emit.number(item)
