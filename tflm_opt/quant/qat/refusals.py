"""What can't be trained with quantization, and what to do about it, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import UnsupportedModel

_RECURRENT = (
    "is recurrent, and its inner tensors have no int8 form that TFLM runs",
    "Replace it by Conv1D layers over time (dilated ones see far), or cut it off and compute it "
    "outside the model",
)
_ATTENTION = (
    "is attention, whose inner tensors can't be seen from outside",
    "Write it with keras.ops.matmul, Dense and Softmax layers, whose ranges can be learned",
)
_NORM = (
    "normalizes by statistics of each sample, which needs ops that TFLM has not in int8",
    "Train the model with BatchNormalization, which costs nothing once it is folded",
)
_THREE_D = ("works on volumes, and TFLM has no such op in int8", "Use 2-D layers")
_WRAPPER = (
    "calls another layer in a way that can't be seen from outside",
    "Call that layer itself: Dense and 1x1 convolutions work on every place of a sequence",
)
_DIVISION = (
    "divides by a tensor, and TFLM has no such op in int8",
    "Divide by a constant, or multiply by what the model computes in another way",
)
_LAYERS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"), _RECURRENT),
    **dict.fromkeys(("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), _RECURRENT),
    **dict.fromkeys(("Attention", "AdditiveAttention", "MultiHeadAttention"), _ATTENTION),
    "GroupedQueryAttention": _ATTENTION,
    **dict.fromkeys(("LayerNormalization", "GroupNormalization", "RMSNormalization"), _NORM),
    "UnitNormalization": _NORM,
    **dict.fromkeys(("Conv3D", "Conv3DTranspose", "MaxPooling3D", "AveragePooling3D"), _THREE_D),
    **dict.fromkeys(("TimeDistributed", "SpectralNormalization"), _WRAPPER),
    **dict.fromkeys(("Divide", "TrueDivide"), _DIVISION),
    "Lambda": (
        "is Python code that can't be seen",
        "Write it as keras.ops on the model's tensors, or as a layer of yours with a rule "
        "(tflm_opt_rule = qat.Rule(...))",
    ),
    "Embedding": (
        "looks integers up, and a full int8 model takes quantized floats only",
        "Do the look-up before the model, and feed it the result",
    ),
}
_CURVED = (
    "has no int8 form that TFLM runs",
    "Use relu, relu6, silu or hard_silu (fine-tune the float model first)",
)
ACTIVATIONS: Mapping[str, tuple[str, str]] = dict.fromkeys(
    (
        *("elu", "selu", "celu", "gelu", "softplus", "softsign", "mish", "exponential", "exp"),
        *("log_softmax", "log_sigmoid", "glu", "hard_tanh", "tanh_shrink", "soft_shrink"),
        *("hard_shrink", "squareplus", "sparse_plus", "sparsemax", "threshold", "sparse_sigmoid"),
    ),
    _CURVED,
)
_ACTIVATION_LAYERS = ("ELU", "Elu", "Selu", "Celu", "Gelu", "Softplus", "Softsign", "Mish", "Exp")


def refusal(op: Any, activation: str | None = None) -> UnsupportedModel:
    """The error for a layer, or for its activation."""
    import keras

    kind = type(op).__name__
    name = getattr(op, "name", kind)
    own = not type(op).__module__.startswith("keras.")
    if activation is not None:
        reason, remedy = ACTIVATIONS[activation]
        return UnsupportedModel(f"the activation {activation} {reason}", op=name, remedy=remedy)
    if kind in _ACTIVATION_LAYERS and not own:
        return UnsupportedModel(f"{kind} {_CURVED[0]}", op=name, remedy=_CURVED[1])
    if kind in _LAYERS and not own:
        reason, remedy = _LAYERS[kind]
        return UnsupportedModel(f"{kind} {reason}", op=name, remedy=remedy)
    if isinstance(op, keras.Model):
        return UnsupportedModel(
            f"{kind} is a subclassed model, whose layers Keras knows no graph of",
            op=name,
            remedy="Write it with the Functional API: keras.Model(inputs, outputs)",
        )
    return UnsupportedModel(
        f"nothing is known of how a {kind} is quantized",
        op=name,
        remedy="Say so in its class (tflm_opt_rule = qat.Rule(...)), replace it by layers that "
        'are known, or use quantize="ptq"'
        if own
        else 'Replace it by layers that are known, or use quantize="ptq"',
    )
