"""The test nets themselves: what the other rooms test on must be alive and run in TFLM."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from models.cache import NAMES, tflite

# Ops that a net is there for; the others come along.
HOLDS = {
    "mobilenet_v1_025_96": {"DEPTHWISE_CONV_2D": 13, "CONV_2D": 14},
    "mobilenet_v2_035_96": {"ADD": 10, "DEPTHWISE_CONV_2D": 17},
    "resnet_8": {"ADD": 3, "AVERAGE_POOL_2D": 1},
    "ds_cnn": {"DEPTHWISE_CONV_2D": 4, "SOFTMAX": 1},
    "se_net": {"HARD_SWISH": 8, "MUL": 6, "MEAN": 4},
    "unet": {
        "CONCATENATION": 3,
        "RESIZE_NEAREST_NEIGHBOR": 1,
        "RESIZE_BILINEAR": 1,
        "TRANSPOSE_CONV": 1,
        "LOGISTIC": 1,
    },
    "two_eyes": {"MAXIMUM": 1, "SUB": 1, "TANH": 1},
    "op_zoo": {"SPLIT": 1, "PRELU": 1, "LEAKY_RELU": 1, "MINIMUM": 1, "TRANSPOSE": 1, "PAD": 1},
}


@pytest.fixture(scope="module")
def litert():
    return pytest.importorskip("ai_edge_litert.interpreter")


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_alive(name: str, litert) -> None:
    engine = litert.Interpreter(
        model_content=tflite(name),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    engine.allocate_tensors()
    rng = np.random.default_rng(0)
    ops = engine._get_ops_details()
    levels: list[set[int]] = [set() for _ in ops]
    for _ in range(3):
        for tensor in engine.get_input_details():
            values = rng.normal(0, 50, size=tensor["shape"]).clip(-128, 127)
            engine.set_tensor(tensor["index"], values.astype(np.int8))
        engine.invoke()
        for op, seen in zip(ops, levels, strict=True):
            for index in op["outputs"]:
                seen.update(np.unique(engine.get_tensor(index)).tolist())
    kinds = [op["op_name"] for op in ops]
    dead = [f"{i}:{kinds[i]}" for i, seen in enumerate(levels) if len(seen) < 3]
    assert dead == []
    assert HOLDS[name].items() <= {kind: kinds.count(kind) for kind in kinds}.items()


def test_tensorflow_stays_out_of_this_process() -> None:
    code = (
        "import sys; from models.cache import NAMES, tflite;"
        "assert all(tflite(name)[4:8] == b'TFL3' for name in NAMES);"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "False", done.stderr


def test_unknown_names_are_refused() -> None:
    with pytest.raises(KeyError, match="there are mobilenet_v1_025_96"):
        tflite("mobilenet_v9")
