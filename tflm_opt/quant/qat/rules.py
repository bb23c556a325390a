"""What int8 means for each kind of layer: weights that are rounded, outputs that have a range.

The table follows TFLite's specification of int8 ops: some ops give their input's scale on, some a
scale that is fixed, the others one of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import UnsupportedModel

Output = Literal["range", "same", "unit", "signed"]
FIXED: Mapping[str, tuple[float, float]] = {"unit": (0.0, 255 / 256), "signed": (-1.0, 127 / 128)}
ATTRIBUTE = "tflm_opt_rule"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a layer is quantized. A layer of yours declares it: `tflm_opt_rule = Rule(...)`.

    Example:
        >>> class Gain(keras.layers.Layer):
        ...     tflm_opt_rule = qat.Rule(weights={"factor": (-1,)})

    Attributes:
        output: "range" for a scale of its own; "same" for its input's (it moves values, or picks
            some); "unit" for 0 to 1 and "signed" for -1 to 1, as sigmoid and tanh have.
        weights: axes of the weights that have a scale for each place, by the weights' names; ()
            for one scale.
        fuses: whether TFLite makes a ReLU behind it a part of the op; the output has no range of
            its own then.
    """

    output: Output = "range"
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fuses: bool = False


_KERNELS = {
    "Conv1D": (-1,),
    "Conv2D": (-1,),
    "Conv2DTranspose": (-2,),
    "Dense": (-1,),
    "DepthwiseConv1D": (-2, -1),
    "DepthwiseConv2D": (-2, -1),
}
_SAME = (
    *("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D"),
    *("GlobalMaxPooling1D", "GlobalMaxPooling2D", "Flatten", "Reshape", "Permute", "Identity"),
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"),
    *("AlphaDropout", "ActivityRegularization", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D"),
    *("Cropping2D", "UpSampling1D", "UpSampling2D", "RepeatVector", "RandomFlip"),
    *("RandomRotation", "RandomTranslation", "RandomZoom", "RandomCrop", "RandomContrast"),
    *("RandomBrightness", "Transpose", "Squeeze", "ExpandDims", "GetItem", "Pad"),
)
_RANGE = (
    *("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Concatenate"),
    *("GlobalAveragePooling1D", "GlobalAveragePooling2D", "LeakyReLU", "ELU", "ReLU"),
    *("Relu", "Relu6", "Mean"),
)
_FUSING = ("Add", "Subtract", "Multiply")
_BY_OUTPUT: Mapping[Output, tuple[str, ...]] = {
    "same": _SAME,
    "range": _RANGE,
    "unit": ("Softmax", "Sigmoid"),
    "signed": ("Tanh",),
}
_BY_FUNCTION: Mapping[str, Output | None] = {
    "linear": "same",
    "relu": "range",
    "relu6": "range",
    "leaky_relu": "range",
    "elu": "range",
    "softmax": "unit",
    "sigmoid": "unit",
    "tanh": "signed",
}
FUSED = ("relu", "relu6")


def rule(op: Any) -> Rule:
    """The rule of a layer.

    Raises:
        UnsupportedModel: nothing is known of it.
    """
    declared = getattr(type(op), ATTRIBUTE, None)
    if declared is not None:
        return declared
    kind = type(op).__name__
    if not type(op).__module__.startswith("keras."):
        kind = ""
    if kind in _KERNELS:
        return Rule("range", {"kernel": _KERNELS[kind]}, fuses=kind != "Conv2DTranspose")
    if kind == "Activation":
        output = _BY_FUNCTION.get(function_name(op.activation))
        if output is not None:
            return Rule(output)
    for output, kinds in _BY_OUTPUT.items():
        if kind in kinds:
            return Rule(output, fuses=kind in _FUSING)
    raise UnsupportedModel(
        f"nothing is known of how a {type(op).__name__} is quantized",
        op=getattr(op, "name", type(op).__name__),
        remedy=f"Say so in its class ({ATTRIBUTE} = qat.Rule(...)), replace it by layers that are "
        'known, or use quantize="ptq"',
    )


def fused_activation(op: Any) -> str | None:
    """The name, where that is all a layer does, of what TFLite makes a part of the op before."""
    kind = type(op).__name__
    if not type(op).__module__.startswith("keras."):
        return None
    if kind == "ReLU" and not op.negative_slope and not op.threshold:
        return {None: "relu", 6: "relu6"}.get(op.max_value)
    if kind == "Activation":
        name = function_name(op.activation)
        return name if name in FUSED else None
    if kind == "Relu" or kind == "Relu6":
        return kind.lower()
    return None


def function_name(activation: Any) -> str:
    return getattr(activation, "__name__", type(activation).__name__)
