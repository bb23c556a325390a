"""Reference nets: what the field compares with, each a function that gives a `Net`.

    net = zoo.mobilenet_v2(width=0.35, resolution=96, classes=2)
    model = tflm_opt.nas.build.build(net, seed=0)     # Keras
    graph = tflm_opt.nas.lower.lower(net)             # int8, to be priced

MLPerf Tiny's four, MobileNetV1 and MobileNetV2 by width and resolution, and two nets that MCUNet's
search found. These two are tables of what their published files hold; those files pad as PyTorch
does, by half a kernel on each side, where a strided layer here has the odd row and column behind.
"""

from __future__ import annotations

from collections.abc import Callable

from .net import Layer, Net

Pair = tuple[int, int]


def mlperf_tiny_vww(classes: int = 2) -> Net:
    """Visual wake words: MobileNetV1, width 0.25, 96×96×3, with ReLU. 7.49M MACs."""
    return _mobilenet_v1(0.25, 96, classes, activation="relu")


def mlperf_tiny_kws(classes: int = 12) -> Net:
    """Keyword spotting: DS-CNN on 49 frames of 10 MFCCs. 2.66M MACs."""
    grown = _Growing((49, 10, 1))
    grown.conv("stem", 64, (10, 4), (2, 2), activation="relu")
    for block in range(1, 5):
        grown.depthwise(f"block{block}_depthwise", 3, activation="relu")
        grown.conv(f"block{block}_pointwise", 64, activation="relu")
    return grown.classified(classes, pool=(25, 5))


def mlperf_tiny_ic(classes: int = 10) -> Net:
    """Image classification: ResNet-8 on 32×32×3. 12.5M MACs."""
    grown = _Growing((32, 32, 3))
    grown.conv("stem", 16, (3, 3), activation="relu")
    for stage, (filters, stride) in enumerate(((16, 1), (32, 2), (64, 2)), 1):
        start, name = grown.last, f"stage{stage}"
        strides = (stride, stride)
        shortcut = start
        if stride > 1:
            shortcut = grown.conv(f"{name}_shortcut", filters, strides=strides, norm=False)
        grown.last = start
        grown.conv(f"{name}_conv1", filters, (3, 3), strides, activation="relu")
        grown.conv(f"{name}_conv2", filters, (3, 3))
        grown.add(f"{name}_add", shortcut, activation="relu")
    return grown.classified(classes, pool=(8, 8))


def mlperf_tiny_ad(features: int = 640) -> Net:
    """Anomaly detection: an autoencoder of ten dense layers. 0.26M MACs.

    Inputs are images, here of one pixel with `features` channels.
    """
    layers = [Layer("input", "input", shape=(1, 1, features))]
    layers.append(Layer("features", "flatten", ("input",)))
    for place, units in enumerate((128, 128, 128, 128, 8, 128, 128, 128, 128), 1):
        before = (layers[-1].name,)
        layers.append(Layer(f"dense{place}", "dense", before, units, norm=True, activation="relu"))
    layers.append(Layer("restored", "dense", (layers[-1].name,), features))
    return Net(tuple(layers))


def mobilenet_v1(
    width: float = 1.0, resolution: int = 224, classes: int = 1000, channels: int = 3
) -> Net:
    """MobileNetV1 (Howard et al., 2017): depthwise separable convolutions, ReLU6.

    Args:
        width: factor on all filters, each rounded to a multiple of eight.
        resolution: rows and columns of the image.
        channels: of the image: 3, or 1 for gray.

    Raises:
        ValueError: a width that is not positive, sizes below 1.
    """
    return _mobilenet_v1(width, resolution, classes, channels=channels)


def mobilenet_v2(
    width: float = 1.0,
    resolution: int = 224,
    classes: int = 1000,
    channels: int = 3,
    head: int | None = None,
    halvings: int = 5,
) -> Net:
    """MobileNetV2 (Sandler et al., 2018): inverted residuals with linear bottlenecks, ReLU6.

    Args:
        width, resolution, classes, channels: as `mobilenet_v1`.
        head: filters of the last convolution; None for 1280, or that times a width above one, as
            in the paper. Nets for microcontrollers often have 1280 times any width.
        halvings: how often the image is halved, 1 to 5. With less than 5, the last strides are
            left out, as is usual for small images.

    Raises: ValueError, as `mobilenet_v1`.
    """
    _check(width=width, resolution=resolution, classes=classes, channels=channels)
    if halvings not in range(1, 6):
        raise ValueError(f"halvings is {halvings!r}: a whole number from 1 to 5")
    grown = _Growing((resolution, resolution, channels))
    grown.conv("stem", make_divisible(32 * width), (3, 3), (2, 2), activation="relu6")
    number, left = 0, halvings - 1
    for expansion, filters, repeats, first_stride in _MOBILENET_V2:
        wanted = make_divisible(filters * width)
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 and left else 1
            left -= stride - 1
            grown.inverted(f"block{number}", 3, grown.filters * expansion, wanted, stride)
            number += 1
    last = make_divisible(1280 * max(width, 1.0)) if head is None else head
    grown.conv("head", last, activation="relu6")
    return grown.classified(classes)


def mcunet_vww1(classes: int = 2) -> Net:
    """MCUNet's person detector for 80×80×3 images (Lin et al., 2020). 11.6M MACs."""
    grown = _mcunet(80, 16, 8, _MCUNET_VWW1)
    grown.layers.append(Layer("pool", "global_pool", (grown.last,)))
    grown.layers.append(Layer("scores", "dense", ("pool",), classes))
    return Net(tuple(grown.layers))


def mcunet_in4(classes: int = 1000) -> Net:
    """MCUNet's ImageNet classifier for 512 kB of SRAM: 160×160×3 (Lin et al., 2020). 126M MACs.

    Its classifier is a convolution of one pixel, as in the file.
    """
    grown = _mcunet(160, 32, 16, _MCUNET_IN4)
    pool = Layer("pool", "average_pool", (grown.last,), 0, (5, 5), (5, 5), "valid")
    scores = Layer("scores_conv", "conv", ("pool",), classes)
    return Net((*grown.layers, pool, scores, Layer("scores", "flatten", ("scores_conv",))))


def make_divisible(filters: float, by: int = 8) -> int:
    """The nearest multiple of `by`, not below it, and not below nine tenths of `filters`.

    >>> make_divisible(0.35 * 32), make_divisible(0.35 * 24)
    (16, 8)
    """
    nearest = max(by, int(filters + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * filters else nearest


NETS: dict[str, Callable[[], Net]] = {
    function.__name__: function
    for function in (
        mlperf_tiny_vww,
        mlperf_tiny_kws,
        mlperf_tiny_ic,
        mlperf_tiny_ad,
        mobilenet_v1,
        mobilenet_v2,
        mcunet_vww1,
        mcunet_in4,
    )
}

# Filters at width 1 and stride of the pointwise convolutions of MobileNetV1.
_MOBILENET_V1 = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)
# Expansion, filters at width 1, blocks, stride of the first.
_MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# Kernel, expanded channels, filters, stride of the blocks behind the first, as the files have them.
_MCUNET_VWW1 = (
    *((3, 48, 16, 2), (3, 48, 16, 1), (3, 48, 16, 1)),
    *((7, 48, 24, 2), (3, 144, 24, 1), (5, 120, 24, 1)),
    *((7, 144, 40, 2), (7, 240, 40, 1)),
    *((3, 240, 48, 1), (3, 192, 48, 1)),
    *((5, 240, 96, 2), (3, 480, 96, 1), (3, 384, 96, 1)),
    (7, 288, 160, 1),
)
_MCUNET_IN4 = (
    *((7, 48, 24, 2), (3, 120, 24, 1), (5, 96, 24, 1)),
    *((7, 120, 40, 2), (3, 160, 40, 1), (7, 160, 40, 1)),
    *((7, 120, 80, 2), (3, 240, 80, 1), (7, 240, 80, 1)),
    *((3, 320, 96, 1), (5, 288, 96, 1), (5, 288, 96, 1)),
    *((7, 384, 192, 2), (7, 576, 192, 1), (5, 576, 192, 1)),
    (5, 768, 320, 1),
)


def _mobilenet_v1(
    width: float, resolution: int, classes: int, channels: int = 3, activation: str = "relu6"
) -> Net:
    _check(width=width, resolution=resolution, classes=classes, channels=channels)
    grown = _Growing((resolution, resolution, channels))
    grown.conv("stem", make_divisible(32 * width), (3, 3), (2, 2), activation=activation)
    for block, (filters, stride) in enumerate(_MOBILENET_V1, 1):
        grown.depthwise(f"block{block}_depthwise", 3, stride, activation)
        grown.conv(
            f"block{block}_pointwise", make_divisible(filters * width), activation=activation
        )
    return grown.classified(classes)


def _mcunet(
    resolution: int, stem: int, first: int, blocks: tuple[tuple[int, int, int, int], ...]
) -> _Growing:
    """All of an MCUNet up to its last block; the first one has a convolution for its expansion."""
    grown = _Growing((resolution, resolution, 3))
    grown.conv("stem", stem, (3, 3), (2, 2), activation="relu6")
    grown.inverted("block0", 3, stem, first, 1)
    for number, (kernel, expanded, filters, stride) in enumerate(blocks, 1):
        grown.inverted(f"block{number}", kernel, expanded, filters, stride)
    return grown


def _check(**given: float) -> None:
    for name, value in given.items():
        if not value > 0 or (name != "width" and value != int(value)):
            raise ValueError(f"{name} is {value!r}: it is a positive number of its kind")


class _Growing:
    """A net in the making: each call appends what reads the layer before."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.layers = [Layer("image", "input", shape=shape)]
        self.last = "image"
        self.filters = shape[2]  # of `last`

    def conv(
        self,
        name: str,
        filters: int,
        kernel: Pair = (1, 1),
        strides: Pair = (1, 1),
        *,
        activation: str = "",
        norm: bool = True,
    ) -> str:
        """Append a convolution, and give its name."""
        self.filters = filters
        return self._append(
            Layer(
                *(name, "conv", (self.last,), filters, kernel, strides),
                norm=norm,
                activation=activation,
            )
        )

    def depthwise(self, name: str, kernel: int, stride: int = 1, activation: str = "") -> str:
        """Append a depthwise convolution with batch norm."""
        return self._append(
            Layer(
                *(name, "depthwise", (self.last,), 0, (kernel, kernel), (stride, stride)),
                norm=True,
                activation=activation,
            )
        )

    def add(self, name: str, other: str, activation: str = "") -> str:
        """Append the sum of `other` and the last layer."""
        return self._append(Layer(name, "add", (other, self.last), activation=activation))

    def inverted(self, name: str, kernel: int, expanded: int, filters: int, stride: int) -> None:
        """Append an inverted residual: expand, depthwise, project; add where shapes agree."""
        start, before = self.last, self.filters
        if expanded != before:
            self.conv(f"{name}_expand", expanded, activation="relu6")
        self.depthwise(f"{name}_depthwise", kernel, stride, "relu6")
        self.conv(f"{name}_project", filters)
        if stride == 1 and filters == before:
            self.add(f"{name}_add", start)

    def classified(self, classes: int, pool: Pair | None = None) -> Net:
        """The net, ended by a mean over the image (or a pool of that size), dense and softmax."""
        if pool is None:
            self._append(Layer("pool", "global_pool", (self.last,)))
        else:
            self._append(Layer("pool", "average_pool", (self.last,), 0, pool, pool, "valid"))
            self._append(Layer("vector", "flatten", ("pool",)))
        self._append(Layer("scores", "dense", (self.last,), classes, activation="softmax"))
        return Net(tuple(self.layers))

    def _append(self, layer: Layer) -> str:
        self.layers.append(layer)
        self.last = layer.name
        return layer.name
