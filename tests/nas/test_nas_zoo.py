"""Reference nets are what their names say: the published files' layers and MACs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_models import SHARED_MODELS

from tflm_opt import graph
from tflm_opt.graph.geometry import macs
from tflm_opt.graph.ir import Graph
from tflm_opt.nas import zoo
from tflm_opt.nas.lower import lower
from tflm_opt.nas.net import Net

FILES = (
    "mlperf_tiny_vww",
    "mlperf_tiny_kws",
    "mlperf_tiny_ic",
    "mlperf_tiny_ad",
    "mcunet_vww1",
    "mcunet_in4",
)


def weighted(g: Graph) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Kind, filters and output of the ops with weights; siblings in any order."""
    kinds = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    found = []
    for op in g.ops:
        filters = op.inputs[1] if op.kind in kinds else None
        if filters is not None:
            found.append((op.kind, filters.shape, op.output.shape))
    return sorted(found)


@pytest.mark.parametrize("name", FILES)
def test_layers_and_macs_are_those_of_the_file(name: str) -> None:
    path = SHARED_MODELS / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    theirs, ours = graph.read(path.read_bytes()), lower(zoo.NETS[name]())
    assert weighted(ours) == weighted(theirs)
    assert macs(ours) == macs(theirs)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (zoo.mlperf_tiny_vww, 7_489_664),
        (zoo.mlperf_tiny_kws, 2_656_768),
        (zoo.mlperf_tiny_ic, 12_501_632),
        (zoo.mlperf_tiny_ad, 264_192),
        (zoo.mcunet_vww1, 11_578_816),
        (zoo.mcunet_in4, 125_874_400),
        (zoo.mobilenet_v1, 568_740_352),  # the paper: 569M
        (zoo.mobilenet_v2, 300_774_272),  # the paper: 300M
        (lambda: zoo.mobilenet_v2(0.35, 144, head=448), 23_499_152),
    ],
)
def test_macs(build: Callable[[], Net], expected: int) -> None:
    assert build().macs == expected


def test_sums_have_the_block_s_input_first() -> None:
    # Who leaves a block out goes on with the first input of its sum: `space.Space`.
    net = zoo.mcunet_vww1()
    places = {layer.name: at for at, layer in enumerate(net.layers)}
    sums = [layer for layer in net.layers if layer.kind == "add"]
    assert len(sums) == 8
    assert all(places[one.inputs[0]] < places[one.inputs[1]] for one in sums)


@pytest.mark.parametrize(
    ("filters", "expected"), [(11.2, 16), (8.4, 8), (3, 8), (90.0, 88), (44.8, 48), (12.0, 16)]
)
def test_make_divisible(filters: float, expected: int) -> None:
    assert zoo.make_divisible(filters) == expected


def test_sizes_that_are_none() -> None:
    with pytest.raises(ValueError, match="width is 0"):
        zoo.mobilenet_v1(0, 96, 2)
    with pytest.raises(ValueError, match=r"resolution is 96\.5"):
        zoo.mobilenet_v2(1.0, 96.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="classes is -1"):
        zoo.mobilenet_v2(1.0, 96, -1)
