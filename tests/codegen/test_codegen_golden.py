"""What generated code looks like: a small net's C, reviewed, in `golden/`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_models import Net

from tflm_opt import arena, codegen
from tflm_opt.patch_split.schedule import layer_by_layer


@pytest.mark.parametrize("file", ["include/tiny.h", "src/tiny.c"])
def test_golden(file: str, golden: Callable[[str, str], None]) -> None:
    net = Net((1, 4, 4, 1))
    joined = net.conv(net.input, 2, kernel=1)
    joined = net.add(joined, net.depthwise(joined))
    g = net.graph(net.softmax(net.dense(net.flatten(joined), 4)))
    plan = arena.plan(g, layer_by_layer(g), scratch=codegen.scratch, access=codegen.access)
    golden(file.rpartition("/")[2], codegen.generate(g, plan, name="tiny").files[file])
