"""What int8 means for each kind of op: weights that are rounded, outputs that have a range.

The table follows TFLite's specification of int8 ops: some ops give their input's scale on, some a
scale that is fixed, the others one of their own. It is about ops that `expand` leaves: each is one
op of TFLite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import UnsupportedModel
from .refusals import ACTIVATIONS, refusal

Output = Literal["range", "same", "tied", "unit", "signed"]
FIXED: Mapping[str, tuple[float, float]] = {"unit": (0.0, 255 / 256), "signed": (-1.0, 127 / 128)}
ATTRIBUTE = "tflm_opt_rule"
FUSED = ("relu", "relu6")


@dataclass(frozen=True, slots=True)
class Rule:
    """How a layer is quantized. A layer of yours declares it: `tflm_opt_rule = Rule(...)`.

    Example:
        >>> class Gain(keras.layers.Layer):
        ...     tflm_opt_rule = qat.Rule(weights={"factor": (-1,)})

    Attributes:
        output: "range" for a scale of its own; "same" for its inputs' (it moves values, or picks
            some); "tied" for its inputs' too, with values that are rounded anew (means of some);
            "unit" for 0 to 1 and "signed" for -1 to 1, as sigmoid and tanh have.
        weights: axes of the weights that have a scale for each place, by the weights' names; ()
            for one scale.
        fuses: whether TFLite makes a ReLU behind it a part of the op; the output has no range of
            its own then.
    """

    output: Output = "range"
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fuses: bool = False


KERNELS: Mapping[str, tuple[int, ...]] = {
    "Conv1D": (-1,),
    "Conv2D": (-1,),
    "Conv1DTranspose": (-2,),
    "Conv2DTranspose": (-2,),
    "Dense": (-1,),
    "DepthwiseConv1D": (-2, -1),
    "DepthwiseConv2D": (-2, -1),
}
_UNFUSED = ("Conv1DTranspose", "Conv2DTranspose")
_SAME = (
    *("MaxPooling1D", "MaxPooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D"),
    *("Flatten", "Reshape", "Permute", "Identity", "Dropout", "SpatialDropout1D"),
    *("SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout"),
    *("ActivityRegularization", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D"),
    *("UpSampling1D", "UpSampling2D", "RepeatVector", "RandomFlip", "RandomRotation"),
    *("RandomTranslation", "RandomZoom", "RandomCrop", "RandomContrast", "RandomBrightness"),
    *("Transpose", "Squeeze", "ExpandDims", "GetItem", "Pad", "Split", "Max", "Min", "Take"),
    *("Concatenate", "Maximum", "Minimum", "Stack"),
)
_TIED = ("AveragePooling1D", "AveragePooling2D", "Resizing", "Resize", "Flip")
_RANGE = (
    *("Add", "Subtract", "Multiply", "GlobalAveragePooling1D", "GlobalAveragePooling2D"),
    *("LeakyReLU", "ReLU", "Mean", "Abs", "Absolute", "Matmul", "Dot"),
)
_FUSING = ("Add", "Subtract", "Multiply")
_BY_OUTPUT: Mapping[Output, tuple[str, ...]] = {
    "same": _SAME,
    "tied": _TIED,
    "range": _RANGE,
    "unit": ("Softmax", "Sigmoid"),
    "signed": ("Tanh",),
}
_BY_FUNCTION: Mapping[str, Output] = {
    "linear": "same",
    "relu": "range",
    "relu6": "range",
    "hard_silu": "range",
    "leaky_relu": "range",
    "softmax": "unit",
    "sigmoid": "unit",
    "tanh": "signed",
}


def kind_of(op: Any) -> str:
    """The class of an op of Keras's own; "" for others."""
    return type(op).__name__ if type(op).__module__.startswith("keras.") else ""


def rule(op: Any) -> Rule:
    """The rule of a layer.

    Raises:
        UnsupportedModel: nothing is known of it, or it has no int8 form.
    """
    declared = getattr(type(op), ATTRIBUTE, None)
    if declared is not None:
        return declared
    kind = kind_of(op)
    if kind in KERNELS:
        return Rule("range", {"kernel": KERNELS[kind]}, fuses=kind not in _UNFUSED)
    if kind == "PReLU":
        return Rule("range", {"alpha": ()})
    if kind == "Activation":
        name = function_name(op.activation)
        if name not in _BY_FUNCTION:
            raise refusal(op, ACTIVATIONS.get(name) and name)
        return Rule(_BY_FUNCTION[name])
    if kind == "UpSampling2D" and op.interpolation != "nearest":
        return Rule("tied")
    for output, kinds in _BY_OUTPUT.items():
        if kind in kinds:
            return Rule(output, fuses=kind in _FUSING)
    raise refusal(op)


def fused_activation(op: Any) -> str | None:
    """The name, where that is all a layer does, of what TFLite makes a part of the op before."""
    kind = kind_of(op)
    if kind == "ReLU" and not op.negative_slope and not op.threshold:
        return {None: "relu", 6: "relu6"}.get(op.max_value)
    if kind == "Activation":
        name = function_name(op.activation)
        return name if name in FUSED else None
    return kind.lower() if kind in ("Relu", "Relu6") else None


def function_name(activation: Any) -> str:
    """As Keras calls it: its older names for the same are made one."""
    name = getattr(activation, "__name__", type(activation).__name__)
    return {"swish": "silu", "hard_swish": "hard_silu"}.get(name, name)


def has_rule(op: Any) -> bool:
    try:
        return bool(rule(op))
    except UnsupportedModel:
        return False
