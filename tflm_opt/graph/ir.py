"""The int8 model in memory: tensors, ops, graph.

Objects hold references, never positions: an op points at its tensors, and tensor, buffer and
opcode indices exist only inside a file (`read` resolves them, `write` assigns them). Everything
is frozen, and tensors and ops are compared by identity: two tensors with equal fields are still
two tensors. A pass makes new objects (see `edit`).

What a file holds and we don't model is kept beside the object it belongs to, in `carried`, and
written back untouched.

The shape of this design is that of compiler IRs with def-use edges, and of the editing tools of
tflite-micro's compression code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .options import Options

# TFLite's element types that numpy can hold; other types keep their bytes as they are.
NUMPY_DTYPES: dict[str, type[np.generic]] = {
    "float32": np.float32,
    "float16": np.float16,
    "float64": np.float64,
    "int8": np.int8,
    "int4": np.int8,  # one a byte in memory, packed in files: see `nibbles`
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
    "complex64": np.complex64,
    "complex128": np.complex128,
}


@dataclass(frozen=True, slots=True, eq=False)
class Quantization:
    """Affine quantization: real = scale * (stored - zero_point), per tensor or per slice of `axis`.

    Attributes:
        scale: float32, shape (1,) per tensor or (n,) per channel.
        zero_point: int64, same shape.
        axis: the quantized dimension; meaningful only when there is more than one scale.
        carried: fields of the file that are kept but not used (observed min and max, details).
    """

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int = 0
    carried: Any = None

    @property
    def per_channel(self) -> bool:
        return self.scale.size > 1

    def same_as(self, other: Quantization | None) -> bool:
        """Whether both map every stored value to the same real value."""
        return (
            other is not None
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
            and (not self.per_channel or self.axis == other.axis)
        )

    @staticmethod
    def per_tensor(scale: float, zero_point: int = 0) -> Quantization:
        return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A value: computed by one op, given as an input, or constant.

    Attributes:
        name: as in the file (undecodable bytes survive as surrogate escapes).
        shape: sizes; batch first, channels last.
        dtype: "int8", "int32", "float32", … (TFLite's type in lower case).
        quant: None for tensors that are not quantized.
        data: the constant's values, C-ordered and read-only, in `shape`; 1-D uint8 for element
            types numpy has no word for (uint4, string). None when the tensor is computed.
        shape_signature: the shape with -1 where the exporter left it open, or None.
        variable: keeps its value from one invocation to the next.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quant: Quantization | None = None
    data: np.ndarray | None = None
    shape_signature: tuple[int, ...] | None = None
    variable: bool = False
    carried: Any = None

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def itemsize(self) -> int:
        """Bytes an element; 1 for types that numpy has no word for and whose size varies."""
        dtype = NUMPY_DTYPES.get("float16" if self.dtype == "bfloat16" else self.dtype)
        return np.dtype(dtype).itemsize if dtype is not None else 1

    @property
    def nbytes(self) -> int:
        """Bytes the values take in a file or in memory; half a byte for each int4."""
        if self.dtype in ("int4", "uint4"):
            return (self.elements + 1) // 2
        if self.data is not None:
            return int(self.data.nbytes)
        return self.elements * self.itemsize

    @property
    def constant(self) -> bool:
        return self.data is not None

    @property
    def scale(self) -> float:
        """The one scale of a per-tensor quantized tensor (a float32 value, as a Python float)."""
        return float(self._per_tensor().scale[0])

    @property
    def zero_point(self) -> int:
        return int(self._per_tensor().zero_point[0])

    def _per_tensor(self) -> Quantization:
        if self.quant is None or self.quant.scale.size != 1:
            raise ValueError(f"tensor {self.name!r} is not quantized per tensor")
        return self.quant

    def __repr__(self) -> str:
        kind = "const " if self.constant else ""
        return f"<Tensor {self.name!r} {kind}{self.dtype}{list(self.shape)}>"


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One operation.

    Attributes:
        kind: TFLite's name, "CONV_2D"; "CUSTOM" for custom ops, named by `custom_code`.
        inputs: in TFLite's order; None where an optional input is left out.
        outputs: one or more.
        options: a record of `graph.options`, `Raw` for kinds that have none there, or None.
        version: the op version in the file; the writer never lowers it.
        intermediates: extra tensors that some recurrent ops list.
    """

    kind: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Options | None = None
    version: int = 1
    custom_code: str | None = None
    intermediates: tuple[Tensor, ...] = ()
    carried: Any = None

    @property
    def output(self) -> Tensor:
        """The only output of an op that has one."""
        (only,) = self.outputs
        return only

    def __repr__(self) -> str:
        return f"<Op {self.kind} -> {', '.join(repr(t.name) for t in self.outputs)}>"


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """A named entry point: argument names and the tensors they stand for."""

    key: str
    inputs: tuple[tuple[str, Tensor], ...]
    outputs: tuple[tuple[str, Tensor], ...]
    subgraph: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What a file holds beside its main graph.

    Attributes:
        subgraphs: the other subgraphs, in order; the main one has position 0.
        metadata: named byte blobs.
        signatures: named entry points.
        metadata_buffers: nameless byte blobs, as very old converters wrote them.
    """

    description: str = ""
    version: int = 3
    subgraphs: tuple[Graph, ...] = ()
    metadata: tuple[tuple[str, bytes], ...] = ()
    signatures: tuple[Signature, ...] = ()
    metadata_buffers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Ops in a valid order of execution, and the tensors that go in and come out.

    Attributes:
        tensors: tensors in file order, those that no op uses included. Only a wish to the
            writer, which keeps this order and appends what is missing; `edit` keeps it tidy.
        model: what the file holds beside this graph; empty for secondary subgraphs.
    """

    ops: tuple[Op, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    name: str = "main"
    tensors: tuple[Tensor, ...] = ()
    model: Model = field(default_factory=Model)
    carried: Any = None
