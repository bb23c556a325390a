"""Files with several subgraphs and state, as TensorFlow's converter writes them."""

from __future__ import annotations

import numpy as np
import pytest
from graph.compare import differences

from tflm_opt import graph
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.check import check_op
from tflm_opt.runtime import tflm

pytestmark = pytest.mark.tensorflow


def converted(function, *shapes: tuple[int, ...]) -> bytes:
    """A tf.function as a float `.tflite` file."""
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    concrete = tf.function(function).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    return converter.convert()


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    import warnings

    import tensorflow as tf

    def branch(x):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.nn.relu(x) * 2.0, lambda: x - 1.0)

    def loop(x):
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 100.0, lambda y: [y + y], [x])[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf.lite announces its own end
        return {"IF": converted(branch, (1, 4)), "WHILE": converted(loop, (1, 4))}


@pytest.mark.parametrize("kind", ["IF", "WHILE"])
def test_control_flow_survives(models: dict[str, bytes], kind: str) -> None:
    data = models[kind]
    g = graph.read(data)
    assert kind in {op.kind for op in g.ops}
    assert len(g.model.subgraphs) == 2
    written = graph.write(g)
    assert differences(g, graph.read(written)) == []
    samples = [[np.array([[1, 2, 3, 4]], np.float32)], [np.array([[7, -2, 0.5, 1]], np.float32)]]
    before, after = tflm.run_many([(data, samples), (written, samples)])
    for a, b in zip(before, after, strict=True):
        assert a[0].tobytes() == b[0].tobytes()
    assert before[0][0].tobytes() != before[1][0].tobytes()


@pytest.mark.parametrize("kind", ["IF", "WHILE"])
def test_control_flow_is_refused_with_its_reason(models: dict[str, bytes], kind: str) -> None:
    g = graph.read(models[kind])
    at = next(i for i, op in enumerate(g.ops) if op.kind == kind)
    with pytest.raises(UnsupportedModel, match="control flow runs other subgraphs"):
        check_op(at, g.ops[at])
    with pytest.raises(UnsupportedModel):
        graph.check(g)


def test_metadata_of_the_converter_survives(models: dict[str, bytes]) -> None:
    g = graph.read(models["IF"])
    names = {name for name, _ in g.model.metadata}
    assert "min_runtime_version" in names
    assert graph.read(graph.write(g)).model.metadata == g.model.metadata
