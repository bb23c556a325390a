"""Spaces: every architecture is a net, names are of different nets, all are parts of one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from elastic_space import ElasticSpace
from hypothesis import given, settings
from hypothesis import strategies as st

from tflm_opt.nas import spaces
from tflm_opt.nas.net import Layer, Net
from tflm_opt.nas.space import Space, crossover, key, largest, mutate, sample, smallest
from tflm_opt.nas.spaces import DsCnn, MobileNet, ResNet, Signal, Stage, Staged
from tflm_opt.nas.subnet import locate

# Everything that a stage can leave open, with widths and expansions that round to the same filters.
OPEN = Stage(10, 2, (1, 3), (3, 5), (1, 1.05, 2), (0.5, 0.55, 1.0), (False, True))
WIDE = (0.4, 0.45, 1.0)
SPACES: dict[str, Staged] = {
    "mobilenet": MobileNet.default((64, 64, 3), 10),
    "mobilenet, tiny": MobileNet.default((8, 8, 1), 10),
    "mobilenet, odd": MobileNet.default((97, 71, 3), 2),
    "mobilenet, open": MobileNet((20, 20, 1), 3, (OPEN, OPEN), WIDE, (10, 20), head=24),
    "ds_cnn": DsCnn.default((49, 10, 1), 12),
    "ds_cnn, mel": DsCnn.default((61, 40, 1), 12),
    "ds_cnn, open": DsCnn(
        (20, 9, 1), 3, (dataclasses.replace(OPEN, expansions=(1,)),), WIDE, (10, 20), stem=9
    ),
    "signal": Signal.default((128, 1, 9), 6),
    "signal, sound": Signal.default((16001, 1, 1), 6),
    "signal, short": Signal.default((5, 1, 1), 2),
    "resnet": ResNet.default((32, 32, 3), 10),
    "resnet, tiny": ResNet.default((3, 3, 3), 10),
    "resnet, open": ResNet((20, 20, 1), 3, (OPEN, OPEN), WIDE, (10, 20)),
}


def drawn(space: Space, count: int = 30, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [largest(space), smallest(space), *(sample(space, rng) for _ in range(count))]


def written(net: Net) -> str:
    return json.dumps(net.to_json())


each = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())


@each
def test_a_space_keeps_to_the_protocol_and_its_nets_are_nested(space: Staged) -> None:
    assert isinstance(space, Space)
    spaces.check_space(space, nets=20)
    spaces.check_nested(space, nets=20)


@each
def test_different_keys_are_of_different_nets(space: Staged) -> None:
    rng = np.random.default_rng(1)
    found = {key(one): written(space.net(one)) for one in drawn(space)}
    for one in drawn(space, 10, seed=2):
        # Neighbours are what is likely to be the same net: one choice differs.
        for _ in range(8):
            near = mutate(space, one, rng, rate=0.0)
            found[key(near)] = written(space.net(near))
    assert len(set(found.values())) == len(found) > 15


@each
def test_random_pairs_lie_in_the_larger_of_their_choices(space: Staged) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        one, other = sample(space, rng), sample(space, rng)
        both = {k: max(one[k], other[k], key=v.index) for k, v in space.choices.items()}
        both["resolution"] = space.resolution[-1]
        for part in (one, other):
            locate(space.net(both), space.net(part))


@each
def test_a_space_comes_back_from_json_with_the_same_nets(space: Staged) -> None:
    again = spaces.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert [key(one) for one in drawn(again, 5)] == [key(one) for one in drawn(space, 5)]
    one = drawn(space, 1)[-1]
    assert written(again.net(json.loads(json.dumps(one)))) == written(space.net(one))


@each
def test_subspaces_are_its_widths_and_resolutions(space: Staged) -> None:
    parts = space.subspaces()
    assert len(parts) == len(space.width) * len(space.resolution)
    for fixed, part in parts:
        one = sample(part, np.random.default_rng(0))
        assert {name: one[name] for name in fixed} == fixed
        # An architecture of the subspace is one of the whole, and the same net there.
        assert written(space.net(one)) == written(part.net(one))


@each
def test_children_are_canonical(space: Staged) -> None:
    rng = np.random.default_rng(0)
    one, other = sample(space, rng), sample(space, rng)
    for child in (mutate(space, one, rng, 0.5), crossover(space, one, other, rng)):
        assert space.canonical(child) == child


filters = st.integers(1, 40)
numbers = st.lists(st.floats(0.1, 2.0), min_size=1, max_size=3, unique=True).map(sorted).map(tuple)
stages = st.builds(
    Stage,
    filters,
    st.integers(1, 3),
    st.sampled_from([(1,), (2,), (1, 2)]),
    st.sampled_from([(3,), (3, 5), (4, 6), (3, 7, 9)]),
    st.one_of(st.just((1,)), numbers),
    numbers,
    st.sampled_from([(False,), (True,), (False, True)]),
)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([MobileNet, ResNet]),
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    st.lists(stages, min_size=1, max_size=3).map(tuple),
    numbers,
    st.sampled_from([1, 4, 8]),
)
def test_any_parameters_make_a_nested_space(
    cls: type[Staged],
    shape: tuple[int, int, int],
    stages: tuple[Stage, ...],
    width: tuple[float, ...],
    divisor: int,
) -> None:
    resolution = (shape[0],) if shape[0] < 4 else (shape[0] // 2, shape[0])
    space = cls(shape, 3, stages, width, resolution, divisor=divisor)
    spaces.check_space(space, nets=5)
    spaces.check_nested(space, nets=5)
    found = {key(one): written(space.net(one)) for one in drawn(space, 10)}
    assert len(set(found.values())) == len(found)


def test_a_block_beyond_the_depth_has_no_effect_on_the_name() -> None:
    space = SPACES["mobilenet"]
    one = dict(largest(space), stage2_depth=1)
    other = dict(one, stage2_block3_kernel=3, stage2_block2_expansion=4)
    assert one != other
    assert space.canonical(one) == space.canonical(other)
    assert written(space.net(one)) == written(space.net(other))


def test_widths_that_round_alike_have_one_name() -> None:
    space = MobileNet((16, 16, 1), 2, (Stage(16, widths=(0.5, 0.51, 1.0)),), width=(0.99, 1.0))
    names = {
        key(space.canonical({"resolution": 16, "width": w, "stage1_width": own}))
        for w in space.width
        for own in (0.5, 0.51)
    }
    assert len(names) == 1


def test_values_that_json_made_of_others_are_the_spaces_own() -> None:
    space = MobileNet((16, 16, 1), 2, (Stage(16),), width=(0.5, 1.0))
    assert key(space.canonical({"resolution": 16.0, "width": 1})) == key(largest(space))


def test_mutation_always_changes_what_can_change() -> None:
    """A subspace has a single width: drawing that one would be no mutation."""
    space = MobileNet((16, 16, 1), 2, (Stage(16, kernels=(3, 5)),))
    rng = np.random.default_rng(0)
    assert len(space.choices) == 3
    for _ in range(20):
        assert mutate(space, smallest(space), rng, rate=0.0) == largest(space)
    single = MobileNet((16, 16, 1), 2, (Stage(16),))
    assert mutate(single, smallest(single), rng) == smallest(single)


@pytest.mark.parametrize("size", [32, 64])
def test_the_default_spans_budgets(size: int) -> None:
    """From 0.2 to 20 million MACs at least, so that limits of boards lie between."""
    space = MobileNet.default((size, size, 3), 10)
    least, most = space.net(smallest(space)).macs, space.net(largest(space)).macs
    assert least < 200_000 < 20_000_000 < most


@pytest.mark.parametrize(
    ("shape", "cls"),
    [
        ((64, 64, 3), MobileNet),
        ((28, 28, 1), MobileNet),
        ((48, 64, 3), MobileNet),
        ((49, 10, 1), DsCnn),
        ((128, 1, 9), Signal),
        ((1, 1, 4), Signal),
    ],
)
def test_the_default_is_chosen_by_shape(shape: tuple[int, int, int], cls: type[Staged]) -> None:
    space = spaces.default(shape, 5)
    assert type(space) is cls
    net = space.net(largest(space))
    assert net.input_shape == shape
    assert net.shapes()["scores"] == (5,)


def test_images_keep_their_proportions_and_spectrograms_their_frequencies() -> None:
    image = MobileNet((48, 64, 3), 2, (Stage(8),), resolution=(24, 48))
    sound = DsCnn((48, 10, 1), 2, (Stage(8),), resolution=(24, 48))
    assert image.net({"resolution": 24, "width": 1.0}).input_shape == (24, 32, 3)
    assert sound.net({"resolution": 24, "width": 1.0}).input_shape == (24, 10, 1)


def test_a_signal_has_kernels_and_strides_along_time_alone() -> None:
    space = SPACES["signal"]
    net = space.net(largest(space))
    windows = [layer for layer in net.layers if layer.kind in ("conv", "depthwise")]
    assert {(layer.kernel[1], layer.strides[1]) for layer in windows} == {(1, 1)}
    assert max(layer.strides[0] for layer in windows) > 1


def test_mlperf_tinys_ds_cnn_is_in_the_space() -> None:
    """Its layers and MACs are published: 64 filters, a stem of 10×4, four separable blocks."""
    space = DsCnn((49, 10, 1), 12, (Stage(64),) * 4, stem_rows=(10,))
    net = space.net(largest(space))
    shapes = net.shapes()
    assert shapes["stem"] == shapes["stage4_block1_pointwise"] == (25, 5, 64)
    block = 125 * (9 * 64 + 64 * 64)
    assert net.macs == 125 * 40 * 64 + 4 * block + 64 * 12
    assert not [layer for layer in net.layers if layer.kind == "add"]


def test_a_gate_lies_between_depthwise_and_projection() -> None:
    space = MobileNet((16, 16, 1), 2, (Stage(16, expansions=(2,), squeeze=(True,)),))
    net = space.net(largest(space))
    assert net["stage1_block1_gate_scale"].inputs == (
        "stage1_block1_depthwise",
        "stage1_block1_gate_excite",
    )
    assert net["stage1_block1_project"].inputs == ("stage1_block1_gate_scale",)
    assert net.shapes()["stage1_block1_gate_squeeze"] == (1, 1, 8)


GOOD: dict[str, Any] = {"input_shape": (32, 32, 3), "classes": 4, "stages": (Stage(8),)}


@pytest.mark.parametrize(
    ("cls", "wrong", "said"),
    [
        (MobileNet, {"input_shape": (32, 32)}, "rows, columns, channels"),
        (MobileNet, {"input_shape": (32, 0, 3)}, "nothing to see"),
        (MobileNet, {"classes": 1}, "classes is 1: at least 2"),
        (MobileNet, {"stages": ()}, "not an empty one"),
        (MobileNet, {"stages": ({"filters": 8},)}, "tuple of Stage"),
        (MobileNet, {"width": (1.0, 0.5)}, "width are .*each larger than the one before"),
        (MobileNet, {"width": ()}, "not an empty one"),
        (MobileNet, {"width": (float("nan"),)}, "tuple of numbers"),
        (MobileNet, {"width": (0.0, 1.0)}, "positive"),
        (MobileNet, {"resolution": (16, 64)}, "up to 64 rows, and the data has 32"),
        (MobileNet, {"resolution": (16.5,)}, "whole numbers"),
        (MobileNet, {"divisor": 0}, "divisor is 0"),
        (MobileNet, {"activation": "relu7"}, "known are relu"),
        (MobileNet, {"stem": 0}, "stem is 0"),
        (MobileNet, {"head": -1}, "head is -1"),
        (ResNet, {"stem_stride": 0}, "stem_stride is 0"),
        (DsCnn, {"stages": (Stage(8, expansions=(2,)),)}, "no expansion"),
        (DsCnn, {"stem_rows": (3, 4)}, "all odd or all even"),
        (DsCnn, {"columns": 0}, "columns is 0"),
        (Signal, {}, "samples × 1 × channels"),
    ],
)
def test_bad_parameters_are_named(cls: type[Staged], wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cls(**{**GOOD, **wrong})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"filters": 0}, "filters is 0"),
        ({"filters": 8.0}, "whole number"),
        ({"stride": True}, "stride is True"),
        ({"depths": (0, 1)}, "depths are .*positive"),
        ({"depths": [1]}, "a tuple of whole numbers"),
        ({"kernels": (3, 4)}, "all odd or all even"),
        ({"kernels": (3, 5), "stride": 4}, "smaller than its stride"),
        ({"expansions": (6, 3)}, "each larger"),
        ({"squeeze": (0.25,)}, "squeeze is"),
    ],
)
def test_bad_stages_are_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Stage(**{"filters": 8, **wrong})


@pytest.mark.parametrize(
    ("shape", "classes", "said"),
    [
        ((32, 32), 4, "a grey image rows × columns × 1"),
        ((1, 100, 3), 4, "100 × 1 × 3. Swap the axes"),
        ((32, 32, 3), 1, "at least 2"),
        ((0, 32, 3), 2, "nothing to see"),
        ((0, 1, 3), 2, "nothing to see"),
        ((0, 32, 1), 2, "nothing to see"),
    ],
)
def test_data_without_a_default_is_refused(shape: tuple[int, ...], classes: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spaces.default(shape, classes)


def test_an_architecture_of_another_space_is_refused() -> None:
    space = SPACES["mobilenet"]
    for wrong, said in (
        (dict(largest(space), width=0.3), "'width' is 0.3; the space allows 0.25, 0.35"),
        (dict(largest(space), stage9_depth=1), "no choice 'stage9_depth'"),
        ({"width": 1.0}, "the architecture has no 'resolution'"),
    ):
        with pytest.raises(ValueError, match=said):
            space.net(wrong)
        with pytest.raises(ValueError, match=said):
            space.canonical(wrong)


class Mine:
    """A space of the user's own: layers in a row, as wide as chosen."""

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self.choices: Mapping[str, tuple[Any, ...]] = {"width": (8, most), "deep": (0, 1)}

    def net(self, architecture: Mapping[str, Any]) -> Net:
        layers = [Layer("image", "input", shape=(8, 8, 1))]
        for index in range(1 + architecture["deep"]):
            conv = Layer(f"conv{index}", "conv", (layers[-1].name,), architecture["width"])
            layers.append(conv)
        pool = Layer("pool", "global_pool", (layers[-1].name,))
        return Net((*layers, pool, Layer("scores", "dense", ("pool",), 2)))

    def canonical(self, architecture: Mapping[str, Any]) -> dict[str, Any]:
        return dict(architecture)

    def to_json(self) -> dict[str, Any]:
        return {"kind": f"{__name__}:Mine", "most": self.most}


def test_ones_own_space_comes_back_by_its_class() -> None:
    again = spaces.from_json(json.loads(json.dumps(Mine(32).to_json())))
    assert isinstance(again, Mine)
    assert again.most == 32


def test_what_a_configuration_does_not_say_suits_the_data() -> None:
    data = {"width": [0.5], "stages": [{"filters": 8, "depths": [1, 2]}]}
    space = spaces.complete(data, (49, 10, 1), 12)
    plain = DsCnn.default((49, 10, 1), 12)
    assert space == dataclasses.replace(plain, width=(0.5,), stages=(Stage(8, depths=(1, 2)),))
    assert isinstance(spaces.complete({"kind": "resnet"}, (49, 10, 1), 12), ResNet)
    assert isinstance(spaces.complete(Mine().to_json(), (8, 8, 1), 2), Mine)
    for wrong, said in (({"kind": "resnt"}, "did you mean"), ({"widths": [1]}, "no 'widths'")):
        with pytest.raises(ValueError, match=said):
            spaces.complete(wrong, (49, 10, 1), 12)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "needs a kind"),
        ([], "needs a kind"),
        ({"kind": "mobilnet"}, "did you mean 'mobilenet'"),
        ({"kind": "transformer"}, "known are mobilenet, ds_cnn"),
        ({"kind": "mobilenet"}, "needs classes, input_shape, stages"),
        ({"kind": "mobilenet", "depth": 3}, "has no 'depth'; it has"),
        ({"kind": "mobilenet", **GOOD, "stages": [{"filter": 8}]}, "a stage has no 'filter'"),
        ({"kind": "mobilenet", **GOOD, "stages": [{}]}, "a stage needs filters"),
        ({"kind": "mobilenet", **GOOD, "stages": [8]}, "a stage is 8"),
        ({"kind": "mobilenet", **GOOD, "stages": 8}, "stages is 8"),
        ({"kind": "no_such_module:Mine"}, "can't be imported: No module"),
        ({"kind": f"{__name__}:Yours"}, "can't be imported"),
        ({"kind": f"{__name__}:Mine", "least": 3}, "can't be made of its parameters.*'least'"),
        ({"kind": "collections:OrderedDict"}, "it lacks choices, net, canonical"),
    ],
)
def test_a_file_that_describes_no_space_is_refused(data: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spaces.from_json(data)


def test_the_checks_pass_a_space_with_gates_and_branches() -> None:
    spaces.check_space(ElasticSpace(), nets=20)
    spaces.check_nested(ElasticSpace(), nets=20)


def test_a_space_that_is_not_nested_is_found_out() -> None:
    spaces.check_space(Mine())
    with pytest.raises(ValueError, match=r"layer 'pool' reads conv0; .*The architecture is"):
        spaces.check_nested(Mine())


class _Odd(Mine):
    def __init__(self, **changes: Any) -> None:
        super().__init__()
        for name, value in changes.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"choices": {}}, "no choices"),
        ({"choices": {"width": ()}}, "'width' is"),
        ({"choices": {"width": ((8, 8),), "deep": (0, 1)}}, "numbers and words only"),
        ({"choices": {"width": (8, 8), "deep": (0, 1)}}, "a value twice"),
        ({"choices": {"width": (8, 0), "deep": (0, 1)}}, "no net comes of .*0 filters"),
        ({"canonical": lambda a: {**a, "deep": 1 - a["deep"]}}, "done twice .*deep from"),
        ({"canonical": lambda a: {**a, "deep": 0}}, "another net: deep from 1 to 0"),
        ({"canonical": lambda a: {"width": 8}}, "changes the names"),
        ({"to_json": lambda: {"kind": {1, 2}}}, "JSON can't hold"),
    ],
)
def test_a_space_that_breaks_the_protocol_is_found_out(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spaces.check_space(_Odd(**changes))
