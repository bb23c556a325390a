"""Where a net lies in a larger one, and which nets lie in none. Without a framework."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elastic_space import ElasticSpace

from tflm_opt import nas
from tflm_opt.nas import spaces
from tflm_opt.nas.net import Layer, Net
from tflm_opt.nas.space import largest, sample, smallest
from tflm_opt.nas.subnet import cut, locate, weight_shapes


def net(*, filters: int = 4, kernel: int = 3, size: int = 8, branch: bool = True) -> Net:
    layers = [
        Layer("image", "input", shape=(size, size, 2)),
        Layer("stem", "conv", ("image",), filters, (kernel, kernel), (2, 2), norm=True),
        Layer("side", "depthwise", ("stem",), kernel=(kernel, kernel)),
        Layer("sum", "add", ("stem", "side")),
        Layer("pool", "global_pool", ("sum" if branch else "stem",)),
        Layer("scores", "dense", ("pool",), 3, activation="softmax"),
    ]
    dropped = () if branch else ("side", "sum")
    return Net(tuple(one for one in layers if one.name not in dropped))


def test_sizes_and_the_middle_of_kernels() -> None:
    whole, small = net(filters=6, kernel=7), net(filters=4, kernel=3, size=5, branch=False)
    subnet = locate(whole, small)
    assert subnet.sizes.tolist() == [
        [1, 1, 1],
        [4, 3, 3],
        [0, 0, 0],
        [0, 0, 0],
        [1, 1, 1],
        [3, 1, 1],
    ]
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape) for name, shape in weight_shapes(whole).items()}
    parts = cut(whole, subnet, weights)
    assert {name: part.shape for name, part in parts.items()} == weight_shapes(small)
    np.testing.assert_array_equal(parts["stem/kernel"], weights["stem/kernel"][2:5, 2:5, :, :4])
    np.testing.assert_array_equal(parts["scores/kernel"], weights["scores/kernel"][:4])
    np.testing.assert_array_equal(parts["stem/gamma"], weights["stem/gamma"][:4])


def test_channels_after_a_concat_are_where_the_largest_net_has_them() -> None:
    space = ElasticSpace()
    whole = space.net(largest(space))
    small = space.net({**smallest(space), "split": 3})
    weights = {n: np.arange(np.prod(s)).reshape(s) for n, s in weight_shapes(whole).items()}
    subnet = locate(whole, small)
    # 5 + 8 channels in the largest net, 3 + 4 here.
    assert subnet.active["both"].tolist() == [0, 1, 2, 5, 6, 7, 8]
    parts = cut(whole, subnet, weights)
    expected = weights["joined/kernel"][:, :, [0, 1, 2, 5, 6, 7, 8]]
    np.testing.assert_array_equal(parts["joined/kernel"], expected)


@pytest.mark.parametrize(
    ("space", "shape"),
    [
        (spaces.MobileNet, (48, 48, 3)),
        (spaces.DsCnn, (49, 10, 1)),
        (spaces.Signal, (64, 1, 3)),
        (spaces.ResNet, (32, 32, 3)),
    ],
)
def test_all_spaces_that_come_with_the_package_are_nested(space, shape) -> None:
    made = space.default(shape, 4)
    whole, rng = made.net(largest(made)), np.random.default_rng(0)
    for _ in range(20):
        small = made.net(sample(made, rng))
        parts = cut(
            whole,
            locate(whole, small),
            {name: np.zeros(shape) for name, shape in weight_shapes(whole).items()},
        )
        assert {name: part.shape for name, part in parts.items()} == weight_shapes(small)


def changed(name: str, **values: object) -> Callable[[Net], Net]:
    def change(whole: Net) -> Net:
        layers = [replace(one, **values) if one.name == name else one for one in whole.layers]
        return Net(tuple(layers))

    return change


def without_the_sum(whole: Net) -> Net:
    kept = [one for one in whole.layers if one.name != "sum"]
    kept[3] = replace(kept[3], inputs=("stem",))
    return Net(tuple(kept))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (changed("stem", activation="relu"), "'stem' differs"),
        (changed("stem", strides=(1, 1)), "'stem' differs"),
        (changed("stem", filters=7), "'stem' has more channels"),
        (changed("stem", kernel=(4, 4)), "'stem': a kernel of 4"),
        (changed("stem", kernel=(7, 7)), "'stem': a kernel of 7"),
        # With stride 2 on 8 pixels, one of 1 reads the first of each pair, one of 5 is about both.
        (changed("stem", kernel=(1, 1)), "'stem': a kernel of 1 with stride 2 on 8"),
        (changed("sum", inputs=("stem", "stem")), "'sum' reads stem, stem;"),
        (changed("pool", inputs=("stem",)), "'pool' reads stem;"),
        (changed("scores", filters=2), "'scores' has 2 filters"),
        (changed("image", shape=(8, 8, 1)), "'image' has more channels|other channels"),
        (without_the_sum, "nothing reads layer 'side'"),
    ],
)
def test_what_is_not_nested_is_refused_by_name(change: Callable[[Net], Net], match: str) -> None:
    whole = net(filters=6, kernel=5)
    with pytest.raises(ValueError, match=match):
        locate(whole, change(whole))


def test_a_kernel_with_padding_valid_is_not_the_middle_of_a_larger_one() -> None:
    def one(kernel: int) -> Net:
        return changed("stem", padding="valid", kernel=(kernel, kernel))(net(size=16))

    with pytest.raises(ValueError, match="padding 'valid'"):
        locate(one(5), one(3))


def test_supernets_are_imported_without_a_framework() -> None:
    code = "import sys, tflm_opt.nas.supernet; print({'keras', 'tensorflow'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_only_keras_is_asked_so_that_any_backend_will_do() -> None:
    for name in ("elastic", "sandwich", "supernet"):
        tree = ast.parse((Path(nas.__file__).parent / f"{name}.py").read_text("utf-8"))
        imported = {
            one.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for one in node.names
        }
        modules = {
            str(node.module).partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and not node.level
        }
        assert not (imported | modules) & {"tensorflow", "jax", "torch"}


def test_flatten_would_tie_weights_to_a_resolution() -> None:
    def flat(size: int) -> Net:
        layers = list(net(size=size).layers)
        layers[4] = Layer("pool", "flatten", ("sum",))
        return Net(tuple(layers))

    with pytest.raises(ValueError, match=r"'pool' flattens .* Use 'global_pool'"):
        locate(flat(8), flat(6))
