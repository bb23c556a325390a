"""What TFLM's allocator would need with kernels that are not at hand.

TFLM plans memory from lifetimes and sizes alone, so an op that asks for scratch may be replaced
by one that has the scratch as further results, to be placed at run time: alive at the same
steps, from the first call of a subgraph to the last. The wheel's reference kernels then stand in
for CMSIS-NN's, and its real allocator tells the head that those need:

    tflm.allocations(graph.write(with_scratch(g, "cmsis_nn_dsp"))).head

Only the head is to be trusted, and nothing can be computed: the tail is that of other ops.
`UNPACK` stands in because TFLM asks nothing of its shapes.
"""

from __future__ import annotations

from dataclasses import replace

from tflm_opt.arena import offline
from tflm_opt.arena.offline import AT_RUN_TIME, encode
from tflm_opt.arena.tflm_scratch import REFERENCE, scratch_sizes
from tflm_opt.graph import schema, tensor_order
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.graph.options import Raw


def with_scratch(graph: Graph, kernels: str) -> Graph:
    """A graph that needs as much head as `graph` does with those kernels; not to be run.

    Example:
        >>> with_scratch(g, "cmsis_nn_dsp").ops[0].kind
        'UNPACK'

    Args:
        graph: one that can be written; subgraphs and an offline plan are kept.
        kernels: one of `tflm_scratch.KERNELS`.
    """
    plan = offline.read(graph)
    graphs = [graph, *graph.model.subgraphs]
    offsets: dict[Tensor, int] = {}
    if plan is not None:
        every = [tensor for g in graphs for tensor in tensor_order(g)]
        offsets = dict(zip(every, plan.offsets, strict=True))
    main, *others = [
        replace(g, ops=tuple(_stand_in(op, number, kernels) for number, op in enumerate(g.ops)))
        for g in graphs
    ]
    main = replace(main, model=replace(main.model, subgraphs=tuple(others)))
    if plan is None:
        return main
    every = [tensor for g in (main, *others) for tensor in tensor_order(g)]
    data = encode([offsets.get(tensor, AT_RUN_TIME) for tensor in every], len(graphs))
    rows = tuple((n, data if n == offline.NAME else d) for n, d in main.model.metadata)
    return replace(main, model=replace(main.model, metadata=rows))


def _stand_in(op: Op, number: int, kernels: str) -> Op:
    sizes = scratch_sizes(op, kernels)
    if sizes == scratch_sizes(op, REFERENCE):
        return op
    scratch = tuple(Tensor(f"scratch {number} {i}", (n,), "int8") for i, n in enumerate(sizes))
    table = schema.new_table("UnpackOptions")
    options = Raw(schema.OPTION_CODES["UnpackOptions"], table)
    return Op("UNPACK", op.inputs, (*op.outputs, *scratch), options)
