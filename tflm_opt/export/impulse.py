"""What an Edge Impulse export says about a model: its signal, its labels, how pixels become codes.

Edge Impulse's applications deliver a signal of floats: of a camera one for each pixel, 0xRRGGBB, of
other sensors what the model takes. A channel of a pixel has 256 values, so that what it is to the
model is a table, made here once in float32.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tflm_opt import codegen
from tflm_opt.errors import TflmOptError, UnsupportedModel
from tflm_opt.export.package import Package
from tflm_opt.export.program import c_string
from tflm_opt.graph.ir import Quantization
from tflm_opt.runtime import vectors

SENSORS = ("camera", "microphone", "accelerometer", "9dof", "environmental", "fusion", "unknown")
_CODES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
_FEWEST_CODES = 16  # that pixels have to become for a scaling to make sense
_FEWEST_BOXES = 10  # that applications look at, whatever the count says


@dataclass(frozen=True, slots=True)
class Scaling:
    """How channels of 8 bits become real numbers: channel * factor / divisor + offset, by channel.

    Attributes:
        macro: what follows EI_CLASSIFIER_IMAGE_SCALING_.
        offsets, deviations: (channel / divisor - offset) / deviation, one each or three.
        order: of the channels, by name.
    """

    name: str
    macro: str
    divisor: float
    offsets: tuple[float, ...] = (0.0,)
    deviations: tuple[float, ...] = (1.0,)
    order: tuple[str, str, str] = ("red", "green", "blue")

    def values(self) -> list[np.ndarray]:
        """The 256 numbers of a channel, float32; three times where channels differ."""
        channel = np.arange(256, dtype=np.float32) / np.float32(self.divisor)
        return [
            (channel - np.float32(offset)) / np.float32(deviation)
            for offset, deviation in zip(self.offsets, self.deviations, strict=True)
        ]

    @property
    def plain(self) -> bool:
        """Whether all channels are scaled alike."""
        return len(self.offsets) == 1


SCALINGS = {
    scaling.name: scaling
    for scaling in (
        Scaling("0..1", "NONE", 255.0),
        Scaling("0..255", "0_255", 1.0),
        Scaling("-1..1", "MIN1_1", 127.5, (1.0,)),
        Scaling("-128..127", "MIN128_127", 1.0, (128.0,)),
        Scaling("torch", "TORCH", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        Scaling(
            "bgr-mean",
            "BGR_SUBTRACT_IMAGENET_MEAN",
            1.0,
            (103.939, 116.779, 123.68),
            (1.0, 1.0, 1.0),
            ("blue", "green", "red"),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Port:
    """The model's input or output. Floats have no scale."""

    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def scale_text(self) -> str:
        """The scale as a C literal."""
        return f"{self.scale!r}f"

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest real number that it can hold."""
        if self.scale is None:
            return -math.inf, math.inf
        low, high = _CODES[self.dtype]
        return self.scale * (low - self.zero_point), self.scale * (high - self.zero_point)


@dataclass(frozen=True, slots=True)
class Impulse:
    """What the templates say of a model.

    Attributes:
        samples, axes: the signal has samples * len(axes) numbers.
        width, height, channels: of a camera's image, else 0.
        labels: C strings.
        type: what follows EI_CLASSIFIER_TYPE_.
        grid: rows and columns of an output that is a map, else None.
        scaling, tables: of a camera's channels: C initializers, one or three.
    """

    sensor: str
    samples: int
    axes: tuple[str, ...]
    frequency: str
    interval: str
    width: int
    height: int
    channels: int
    labels: tuple[str, ...]
    type: str
    grid: tuple[int, int] | None
    threshold: str
    scaling: Scaling
    tables: tuple[str, ...]
    input: Port
    output: Port

    @property
    def elements(self) -> int:
        """Of the model's input."""
        return self.input.elements

    @property
    def outputs(self) -> int:
        """Elements of the model's output."""
        return self.output.elements

    @property
    def axes_string(self) -> str:
        return c_string(" + ".join(self.axes))

    @property
    def fewest_boxes(self) -> int:
        return _FEWEST_BOXES


def describe(
    package: Package,
    *,
    sensor: str | None = None,
    frequency: float | None = None,
    axes: Sequence[str] | None = None,
    scaling: str | None = None,
    threshold: float = 0.5,
) -> Impulse:
    """See `edge_impulse.fill` for the options.

    Raises:
        UnsupportedModel: more than one input or output, or types that have no place in a result.
        TflmOptError: an option that doesn't fit the model.
    """
    source, result = _ports(package)
    named = _sensor(sensor, source, result)
    if package.interface.streamed and source.dtype != "int8":
        raise UnsupportedModel(f"a streamed input of {source.dtype} can't come from a signal")
    if not 0.0 < threshold < 1.0:
        raise TflmOptError(f"the threshold is {threshold:g}: give a value between 0 and 1")
    camera = named == "camera"
    if scaling is not None and not camera:
        raise TflmOptError(f"scaling is for cameras, and the sensor is {named!r}: leave it out")
    height, width, channels = source.shape[1:] if camera else (0, 0, 0)
    names = _axes(axes, named, source)
    how = _scaling(scaling, source, channels) if camera else SCALINGS["0..1"]
    rate, interval = _rate(frequency, named)
    kind, grid = _kind(result, camera)
    return Impulse(
        sensor=named,
        samples=width * height if camera else source.elements // len(names),
        axes=names,
        frequency=rate,
        interval=interval,
        width=width,
        height=height,
        channels=channels,
        labels=tuple(map(c_string, _labels(package, result, grid))),
        type=kind,
        grid=grid,
        threshold=f"{float(np.float32(threshold))!r}f",
        scaling=how,
        tables=tuple(_table(values, source) for values in how.values()) if camera else (),
        input=source,
        output=result,
    )


def _ports(package: Package) -> tuple[Port, Port]:
    record = codegen.load_record(package.folder)
    found = []
    for what in ("input", "output"):
        ports = record[f"{what}s"]
        assert isinstance(ports, list)
        if len(ports) != 1:
            raise UnsupportedModel(
                f"{package.name} has {len(ports)} {what}s, and run_classifier takes a model with "
                f'one: export "c", "cmake" or "arduino", which take any'
            )
        (port,) = ports
        if port["dtype"] != "float32" and (port["dtype"] not in _CODES or port["scale"] is None):
            raise UnsupportedModel(
                f"{package.name}'s {what} is {port['dtype']}, and run_classifier takes quantized "
                f"integers of 8 or 16 bits, or float32"
            )
        exact = port["dtype"] == "float32"
        found.append(
            Port(
                port["dtype"],
                tuple(port["shape"]),
                None if exact else float(port["scale"]),
                0 if exact else int(port["zero_point"]),
            )
        )
    return found[0], found[1]


def _sensor(sensor: str | None, source: Port, result: Port) -> str:
    image = len(source.shape) == 4 and source.shape[0] == 1 and source.shape[3] in (1, 3)
    if sensor is None:  # one channel alone may be anything, a spectrogram for instance
        return "camera" if image and (source.shape[3] == 3 or _is_map(result)) else "unknown"
    if sensor not in SENSORS:
        raise TflmOptError(f"no sensor {sensor!r}; there is {', '.join(SENSORS)}")
    if sensor == "camera" and not image:
        raise TflmOptError(
            f"a camera needs an input of [1, height, width, 1 or 3], and the model's is "
            f"{list(source.shape)}: name another sensor"
        )
    return sensor


def _axes(axes: Sequence[str] | None, sensor: str, source: Port) -> tuple[str, ...]:
    if sensor == "camera":
        if axes:
            raise TflmOptError("a camera has no axes: leave them out")
        return ("image",)
    default = {"microphone": ("audio",), "accelerometer": ("accX", "accY", "accZ")}
    names = tuple(axes) if axes else default.get(sensor, ("value",))
    for name in names:
        if not re.fullmatch(r"[\w .%/°²-]{1,32}", name) or name != name.strip():
            raise TflmOptError(f"{name!r} can't name an axis: give 1 to 32 letters or digits")
    if len(set(names)) != len(names):
        raise TflmOptError(f"an axis is there twice: {', '.join(names)}")
    if source.elements % len(names):
        raise TflmOptError(
            f"{source.elements} input elements are no multiple of {len(names)} axes "
            f"({', '.join(names)}): name the axes that the model was trained on"
        )
    return names


def _rate(frequency: float | None, sensor: str) -> tuple[str, str]:
    """EI_CLASSIFIER_FREQUENCY and _INTERVAL_MS; a camera has none, which Edge Impulse says so."""
    if sensor == "camera":
        if frequency is not None:
            raise TflmOptError("a camera has no frequency: leave it out")
        return "0", "1"
    if frequency is None:
        if sensor == "unknown":
            return "0", "1"
        raise TflmOptError(
            f"how often does the {sensor} sample? Applications go by it: give its frequency in Hz"
        )
    if not math.isfinite(frequency) or not 0 < frequency <= 1e9:
        raise TflmOptError(f"the frequency is {frequency:g} Hz: give a number above 0")
    return f"{frequency:.9g}", f"{1000 / frequency:.9g}"


def _scaling(scaling: str | None, source: Port, channels: int) -> Scaling:
    names = [name for name, one in SCALINGS.items() if one.plain or channels == 3]
    if scaling is not None:
        if scaling not in names:
            raise TflmOptError(f"no scaling {scaling!r}; there is {', '.join(names)}")
        _check_reach(SCALINGS[scaling], source)
        return SCALINGS[scaling]
    fits = [name for name in names if _fits(SCALINGS[name], source)]
    if len(fits) != 1:
        takes = "{:g} to {:g}".format(*source.range)
        raise TflmOptError(
            f"what did training scale pixels to? The model takes {takes}: give the scaling, one of "
            f"{', '.join(names)}"
        )
    return SCALINGS[fits[0]]


def _fits(scaling: Scaling, source: Port) -> bool:
    """Whether an input was evidently calibrated with such pixels: its range is theirs."""
    if not scaling.plain:
        return False
    (values,) = scaling.values()
    close = 0.02 * float(values[-1] - values[0])
    low, high = source.range
    return abs(low - float(values[0])) <= close and abs(high - float(values[-1])) <= close


def _check_reach(scaling: Scaling, source: Port) -> None:
    if any(np.unique(_codes(values, source)).size < _FEWEST_CODES for values in scaling.values()):
        low, high = source.range
        raise TflmOptError(
            f"pixels scaled to {scaling.name} are hardly told apart by a model that takes {low:g} "
            f"to {high:g}: give the scaling of its training"
        )


def _codes(values: np.ndarray, source: Port) -> np.ndarray:
    if source.scale is None:
        return values
    low, high = _CODES[source.dtype]
    quant = Quantization.per_tensor(source.scale, source.zero_point)
    return vectors.round_codes(values, quant, low, high)


def _table(values: np.ndarray, source: Port) -> str:
    """Lines of a C initializer."""
    codes = _codes(values, source)
    words = [f"{float(v)!r}f" for v in codes] if source.scale is None else [str(v) for v in codes]
    lines = [", ".join(words[at : at + 16]) for at in range(0, len(words), 16)]
    return "".join(f"        {line},\n" for line in lines)


def _is_map(result: Port) -> bool:
    shape = result.shape
    return len(shape) == 4 and shape[0] == 1 and shape[1] * shape[2] > 1


def _kind(result: Port, camera: bool) -> tuple[str, tuple[int, int] | None]:
    shape = result.shape
    if _is_map(result):
        if not camera or shape[3] < 2:
            raise UnsupportedModel(
                f"the output {list(shape)} is a map, which run_classifier has for images with a "
                "background and labels as channels"
            )
        return "OBJECT_DETECTION", (shape[1], shape[2])
    if result.elements != (shape[-1] if shape else 1):
        raise UnsupportedModel(
            f"the output {list(shape)} is neither one value for each label nor a map of them"
        )
    return ("REGRESSION" if result.elements == 1 else "CLASSIFICATION"), None


def _labels(package: Package, result: Port, grid: tuple[int, int] | None) -> Sequence[str]:
    """One for each value; of a map, the first is the background's, which no box has."""
    names = package.labels or [
        str(index) for index in range(result.shape[-1] if result.shape else 1)
    ]
    return names[1:] if grid else names
