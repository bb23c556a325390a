"""Whether a graph is one that TFLM and the engine run: the first complaint, in the user's words.

The checks go from the whole to the parts: is there a model, is it quantized, are its inputs of
fixed size, does every tensor come from somewhere, and then each op against its row of the op
table. Nothing here changes the graph. A graph that passes can still be too large, and kernels
may refuse a corner case of their own; both say so themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import UnsupportedModel
from . import optable
from .ir import Graph, Op, Tensor
from .optable.constraints import INT4_FILTERS, RE_EXPORT, dtype_remedy, sentence

COMPRESSION_METADATA = "COMPRESSION_METADATA"
BANDS_METADATA = "tflm_opt_bands"  # of files that `patch_split` has rewritten
FIXED_SHAPES = "Export the model with fixed input shapes and a batch of 1"

_CONTROL_FLOW = ("IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE")
_STATEFUL = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
_RECURRENT = (
    "LSTM",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "RNN",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "SVDF",
)
_KIND_REASONS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        _CONTROL_FLOW,
        ("control flow runs other subgraphs, which are not planned", "Unroll it in the model"),
    ),
    **dict.fromkeys(
        _STATEFUL,
        ("variables keep state between invocations, which is not supported", "Remove them"),
    ),
    **dict.fromkeys(
        _RECURRENT,
        (
            "recurrent layers keep state between steps, which is not supported",
            "Use convolutions over time, or unroll the layer when it is built",
        ),
    ),
    "DECODE": (
        "its weights are compressed, and are decoded at run time",
        "Start from the file before compression",
    ),
    "DENSIFY": (
        "its weights are stored sparsely, which is not supported",
        "Convert without sparsity (strip pruning, store dense weights)",
    ),
}


def check(graph: Graph) -> None:
    """Refuse a graph that can't be deployed; silent when it can.

    >>> check(graph.read(data))

    Raises:
        UnsupportedModel: names the op (`index:KIND`), the tensor, the reason and a remedy.
    """
    _check_model(graph)
    _check_quantized(graph)
    _check_ends(graph)
    _check_order(graph)
    for index, op in enumerate(graph.ops):
        check_op(index, op)


def op_name(index: int, op: Op) -> str:
    """How errors name an op: `index:KIND`, with a custom op's own name."""
    return f"{index}:{op.custom_code or op.kind}"


def check_op(index: int, op: Op) -> None:
    """Refuse one op that its row of the table does not allow. Raises as `check`."""
    where = op_name(index, op)
    spec = optable.OPS.get(op.kind)
    if spec is None:
        raise _unknown_kind(where, op)
    _check_form(where, op, spec)
    for tensor in _tensors(op):
        _check_tensor(where, op, tensor)
    for constraint in spec.constraints:
        broken = constraint(op)
        if broken is not None:
            raise UnsupportedModel(
                f"{sentence(constraint).rstrip('.')}; here {broken.detail}",
                op=where,
                tensor=broken.tensor.name if broken.tensor is not None else op.outputs[0].name,
                remedy=broken.remedy or "`tflm-opt ops` lists what each op must meet",
            )
    _check_shapes(where, op, spec)


def _check_model(graph: Graph) -> None:
    if not graph.ops:
        raise UnsupportedModel("the model has no ops", remedy="Export a model with layers")
    if not graph.inputs or not graph.outputs:
        what = "inputs" if not graph.inputs else "outputs"
        raise UnsupportedModel(f"the model has no {what}", remedy="Export the model again")
    if any(name == COMPRESSION_METADATA for name, _ in graph.model.metadata):
        raise UnsupportedModel(
            "its weights are compressed (metadata COMPRESSION_METADATA)",
            remedy="Start from the file before compression",
        )
    if any(name == BANDS_METADATA for name, _ in graph.model.metadata):
        raise UnsupportedModel(
            "this file was already rewritten by tflm_opt: some of its ops run band by band",
            remedy="Give the model that it was made from",
        )


def _check_quantized(graph: Graph) -> None:
    """One clear sentence for models that are float or uint8 as a whole."""
    data = [
        (index, op, source)
        for index, op in enumerate(graph.ops)
        if (source := _weighted_input(op)) is not None
    ]
    for index, op, source in data:
        if source.dtype == "uint8":
            raise UnsupportedModel(
                "the model is quantized to uint8, as converters did before 2020",
                op=op_name(index, op),
                tensor=source.name,
                remedy=RE_EXPORT,
            )
    if data and all(source.dtype.startswith("float") for _, _, source in data):
        index, op, source = data[0]
        weights = op.inputs[1]
        dynamic = weights is not None and weights.dtype == "int8"
        raise UnsupportedModel(
            "only the weights are quantized, the activations are float"
            if dynamic
            else "the model is not quantized: it computes in float",
            op=op_name(index, op),
            tensor=source.name,
            remedy=RE_EXPORT,
        )


def _weighted_input(op: Op) -> Tensor | None:
    index = {
        "CONV_2D": 0,
        "DEPTHWISE_CONV_2D": 0,
        "FULLY_CONNECTED": 0,
        "TRANSPOSE_CONV": 2,
    }.get(op.kind)
    return op.inputs[index] if index is not None and index < len(op.inputs) else None


def _check_ends(graph: Graph) -> None:
    for tensor in graph.inputs:
        if tensor.data is not None:
            raise UnsupportedModel("an input of the model is constant", tensor=tensor.name)
        _check_fixed(tensor)
    if len(set(graph.inputs)) != len(graph.inputs):
        raise UnsupportedModel("a tensor is an input of the model twice")
    for tensor in graph.outputs:
        if tensor.data is not None:
            raise UnsupportedModel(
                "an output of the model is constant",
                tensor=tensor.name,
                remedy="Remove that output",
            )
        if tensor in graph.inputs:
            raise UnsupportedModel(
                "an output of the model is one of its inputs",
                tensor=tensor.name,
                remedy="Remove that output",
            )


def _check_fixed(tensor: Tensor) -> None:
    signature, shape = tensor.shape_signature or tensor.shape, tensor.shape
    if any(size == -1 for size in signature[1:]) or 0 in shape:
        raise UnsupportedModel(
            f"its shape is open: {list(signature)}", tensor=tensor.name, remedy=FIXED_SHAPES
        )
    if len(shape) >= 2 and shape[0] != 1:
        raise UnsupportedModel(
            f"its batch (first axis) is {shape[0]}; one sample at a time is supported",
            tensor=tensor.name,
            remedy=FIXED_SHAPES,
        )


def _check_order(graph: Graph) -> None:
    """Every tensor is made once, before it is read, and outputs are made at all."""
    known = set(graph.inputs)
    made_by = {tensor: i for i, op in enumerate(graph.ops) for tensor in op.outputs}
    for index, op in enumerate(graph.ops):
        where = op_name(index, op)
        for tensor in op.inputs:
            if tensor is not None and tensor not in known and not _has_value(tensor):
                raise _unmade(graph, where, tensor, made_by)
        for tensor in op.outputs:
            if tensor in known or tensor.data is not None:
                reason = "it is constant" if tensor.data is not None else "it is made twice"
                raise UnsupportedModel(
                    f"an op writes a tensor, but {reason}",
                    op=where,
                    tensor=tensor.name,
                    remedy="The file is damaged",
                )
            known.add(tensor)
    for tensor in graph.outputs:
        if tensor not in known:
            raise UnsupportedModel(
                "an output of the model that no op makes",
                tensor=tensor.name,
                remedy="The file is damaged; export it again",
            )


def _has_value(tensor: Tensor) -> bool:
    """Constants, empty tensors (shapes of scalars), and variables, which ops refuse later."""
    return tensor.data is not None or tensor.elements == 0 or tensor.variable


def _unmade(
    graph: Graph, where: str, tensor: Tensor, made_by: dict[Tensor, int]
) -> UnsupportedModel:
    if tensor not in made_by:
        reason, remedy = "it reads a tensor that nothing makes", "export it again"
    elif _cyclic(graph):
        reason, remedy = "the ops form a cycle", "export it again"
    else:
        maker = op_name(made_by[tensor], graph.ops[made_by[tensor]])
        reason = f"it reads a tensor before op {maker} has made it"
        remedy = "its ops are not in order of execution; export it again"
    return UnsupportedModel(
        reason, op=where, tensor=tensor.name, remedy=f"The file is damaged: {remedy}"
    )


def _cyclic(graph: Graph) -> bool:
    """Kahn's algorithm: whatever can't be ordered lies on or behind a cycle."""
    makers = {tensor: op for op in graph.ops for tensor in op.outputs}
    waiting = {
        op: {makers[t] for t in op.inputs if t is not None and t in makers} for op in graph.ops
    }
    readers: dict[Op, list[Op]] = {op: [] for op in graph.ops}
    for op, sources in waiting.items():
        for source in sources:
            readers[source].append(op)
    ready = [op for op, sources in waiting.items() if not sources]
    done = 0
    while ready:
        op = ready.pop()
        done += 1
        for reader in readers[op]:
            waiting[reader].discard(op)
            if not waiting[reader]:
                ready.append(reader)
    return done < len(waiting)


def _unknown_kind(where: str, op: Op) -> UnsupportedModel:
    tensor = op.outputs[0].name if op.outputs else None
    if op.kind in _KIND_REASONS:
        reason, remedy = _KIND_REASONS[op.kind]
        return UnsupportedModel(reason, op=where, tensor=tensor, remedy=remedy)
    what = f"custom op {op.custom_code!r}" if op.kind == "CUSTOM" else op.kind
    if op.kind == "CUSTOM" and op.custom_code in ("DECODE", "TFLM_DECODE"):
        reason, remedy = _KIND_REASONS["DECODE"]
        return UnsupportedModel(reason, op=where, tensor=tensor, remedy=remedy)
    return UnsupportedModel(
        f"{what} is not supported",
        op=where,
        tensor=tensor,
        remedy=f"Supported ops: {', '.join(optable.OPS)}",
    )


def _check_form(where: str, op: Op, spec: optable.OpSpec) -> None:
    """The numbers of inputs and outputs, required ones present, and options of its kind."""
    spans = ((len(op.inputs), spec.inputs, "inputs"), (len(op.outputs), spec.outputs, "outputs"))
    for count, (least, most), what in spans:
        if not least <= count <= most:
            raise UnsupportedModel(
                f"it has {count} {what}; {spec.kind} takes "
                + (f"{least}" if least == most else f"{least} to {most}"),
                op=where,
                remedy="The file is damaged, or was made for another runtime",
            )
    if any(tensor is None for tensor in op.inputs[: spec.inputs[0]]):
        raise UnsupportedModel("a required input is left out", op=where, remedy=RE_EXPORT)
    if spec.record is not None and not isinstance(op.options, spec.record):
        raise UnsupportedModel(
            "its options are missing, or those of another op",
            op=where,
            tensor=op.outputs[0].name,
            remedy="Export the model again",
        )


def _tensors(op: Op) -> Iterator[Tensor]:
    yield from (tensor for tensor in op.inputs if tensor is not None)
    yield from op.outputs


def _check_tensor(where: str, op: Op, tensor: Tensor) -> None:
    if tensor.variable:
        reason, remedy = _KIND_REASONS["VAR_HANDLE"]
        raise UnsupportedModel(reason, op=where, tensor=tensor.name, remedy=remedy)
    if (tensor.carried or {}).get("sparsity") is not None:
        reason, remedy = _KIND_REASONS["DENSIFY"]
        raise UnsupportedModel(reason, op=where, tensor=tensor.name, remedy=remedy)
    if tensor.dtype == "int4" and op.kind in INT4_FILTERS and tensor is op.inputs[1]:
        return
    if tensor.dtype in ("int4", "uint4", "int2", "string", "resource", "variant"):
        raise UnsupportedModel(
            f"{tensor.dtype} tensors are not supported here; int8, int32 for biases, and int4 for "
            "filters of convolutions and fully connected layers are",
            op=where,
            tensor=tensor.name,
            remedy=dtype_remedy(tensor),
        )


def _check_shapes(where: str, op: Op, spec: optable.OpSpec) -> None:
    try:
        expected = spec.shapes(op)
    except optable.ShapeError as error:
        raise UnsupportedModel(
            f"its shapes or options don't go together: {error}",
            op=where,
            tensor=op.outputs[0].name,
            remedy=FIXED_SHAPES,
        ) from error
    for tensor, shape in zip(op.outputs, expected, strict=True):
        if tensor.shape != shape:
            raise UnsupportedModel(
                f"its output has the shape {list(tensor.shape)}, its inputs and options make "
                f"{list(shape)}",
                op=where,
                tensor=tensor.name,
                remedy=FIXED_SHAPES,
            )
