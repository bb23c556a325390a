"""What a net is lowered to: a graph that the passes leave as it is, whatever is drawn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from net_cases import NETS, conv, image, pool

from tflm_opt import graph, passes
from tflm_opt.graph.geometry import macs
from tflm_opt.nas import zoo
from tflm_opt.nas.lower import lower
from tflm_opt.nas.net import ACTIVATIONS, KINDS, Net

ALL = {**NETS, **{name: zoo.NETS[name]() for name in ("mlperf_tiny_vww", "mcunet_vww1")}}


def test_the_cases_have_every_kind_and_activation() -> None:
    layers = [layer for net in NETS.values() for layer in net.layers]
    assert {layer.kind for layer in layers} == set(KINDS)
    assert {layer.activation for layer in layers} == {"", *ACTIVATIONS}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", [0, 1])
def test_passes_find_nothing_to_do(name: str, seed: int) -> None:
    lowered = lower(ALL[name], seed=seed)
    graph.check(lowered)
    assert passes.run(lowered, passes.default_pipeline()) is lowered


@pytest.mark.parametrize("name", ALL)
def test_a_file_holds_it(name: str) -> None:
    lowered = lower(ALL[name])
    again = graph.read(graph.write(passes.Legalize()(lowered)))
    assert [op.kind for op in again.ops] == [op.kind for op in lowered.ops]
    assert macs(again) == macs(lowered) == ALL[name].macs


def test_the_seed_decides() -> None:
    net = NETS["sigmoids"]
    texts = [graph.text.dump(lower(net, seed=seed)) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_layers_of_one_shape_have_different_weights() -> None:
    # Equal constants share one array in generated code: a net that repeated them would seem small.
    lowered = lower(zoo.mcunet_in4())
    filters = [op.inputs[1].data.tobytes() for op in lowered.ops if op.kind == "CONV_2D"]
    assert len(set(filters)) == len(filters) == 35


def test_layers_keep_the_spread_of_what_they_read() -> None:
    # TFLM's own arithmetic on a deep net: values neither vanish nor saturate.
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    engine = litert.Interpreter(
        model_content=graph.write(passes.Legalize()(lower(zoo.mcunet_vww1()))),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    engine.allocate_tensors()
    (given,) = engine.get_input_details()
    rng = np.random.default_rng(0)
    engine.set_tensor(given["index"], rng.integers(-128, 128, given["shape"]).astype(np.int8))
    engine.invoke()
    for op in engine._get_ops_details():
        values = engine.get_tensor(op["outputs"][0])
        assert len(np.unique(values)) > 1, op
        assert np.isin(values, (-128, 127)).mean() < 0.95, op


@pytest.mark.parametrize("kind", ["max_pool", "average_pool"])
def test_norm_needs_weights(kind: str) -> None:
    net = Net((image(8, 8, 2), pool(kind.split("_")[0], "p", "image", 2, 2, norm=True)))
    with pytest.raises(ValueError, match=r"layer 'p'.*norm=True"):
        lower(net)


def test_no_framework_is_loaded() -> None:
    code = """
import sys
from tflm_opt.nas import zoo, lower
lower.lower(zoo.mlperf_tiny_kws())
import tflm_opt.nas.build
assert not {"keras", "tensorflow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_odd_sizes_pad_behind() -> None:
    lowered = lower(Net((image(9, 8, 2), conv("a", "image", 4, 3, 2), conv("b", "a", 4, 4, 3))))
    paddings = [op.options.padding for op in lowered.ops]  # type: ignore[union-attr]
    assert [(p.top, p.bottom, p.left, p.right) for p in paddings] == [(1, 1, 0, 1), (1, 1, 1, 2)]
