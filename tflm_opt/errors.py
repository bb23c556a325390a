"""Everything that can go wrong for a user, as a small tree under `TflmOptError`.

Each error keeps its figures as attributes, so that a script can act on them; its message
says what is wrong, where, and what to do next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


class TflmOptError(Exception):
    """Base of all errors that this package raises on purpose."""


class InvalidModel(TflmOptError):
    """The model file is damaged, truncated, or not a `.tflite` file at all.

    Attributes:
        source: the file or object that was read.
    """

    def __init__(self, message: str, *, source: str | None = None) -> None:
        super().__init__(f"{source}: {message}" if source else message)
        self.source = source


class UnsupportedModel(TflmOptError):
    """The model is well-formed, but asks for something outside what we or TFLM can run.

    Attributes:
        op: the op, as `index:KIND`, or None when the whole model is meant.
        tensor: the tensor's name, or None.
        reason: the constraint that does not hold.
        remedy: what to do about it.
    """

    def __init__(
        self,
        reason: str,
        *,
        op: str | None = None,
        tensor: str | None = None,
        remedy: str | None = None,
    ) -> None:
        where = ", ".join(
            part
            for part in (f"op {op}" if op else "", f"tensor {tensor!r}" if tensor else "")
            if part
        )
        message = f"{where}: {reason}" if where else reason
        super().__init__(f"{message}. {remedy}" if remedy else message)
        self.op = op
        self.tensor = tensor
        self.reason = reason
        self.remedy = remedy


class CalibrationError(TflmOptError):
    """Calibration data that no sound quantization can come from (NaN, wrong shape, empty)."""


class DataError(TflmOptError):
    """Training or validation data that no search can use: labels, shapes, values."""


class DoesNotFit(TflmOptError):
    """No schedule of this model meets the memory budget.

    Attributes:
        need: bytes of the best result found.
        have: bytes of the budget.
        what: which budget, "sram" or "flash".
        binding: the stage that makes the peak, and its buffers, largest first.
        limit: what no schedule goes below, as a clause; "" where that isn't known, or isn't why.
        best: the best `Result` found, complete and usable, or None.
        remedies: what would make it fit, cheapest first.
    """

    def __init__(
        self,
        *,
        need: int,
        have: int,
        what: str = "sram",
        binding: Sequence[str] = (),
        limit: str = "",
        best: Any = None,
        remedies: Sequence[str] = (),
    ) -> None:
        lines = [
            f"the model needs {need:,} bytes of {what} and the budget is {have:,}: "
            f"{need - have:,} bytes too many"
        ]
        if binding:
            lines.append("  the peak is made by: " + "; ".join(binding))
        if limit:
            lines.append(f"  {limit}")
        lines += [f"  remedy: {remedy}" for remedy in remedies]
        super().__init__("\n".join(lines))
        self.need = need
        self.have = have
        self.what = what
        self.binding = tuple(binding)
        self.limit = limit
        self.best = best
        self.remedies = tuple(remedies)


class StudyError(TflmOptError):
    """A study's directory or database that can't be used as it was asked to. Attributes: path."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class SearchFailed(TflmOptError):
    """A search that can't go on; its study is intact, and the search can be resumed.

    Attributes:
        path: the study's directory.
        reason: "disk", "evaluations" or "workers": what is full, fails, or dies.
    """

    def __init__(self, path: str, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason


_UNITS = {"latency_ms": "ms of latency (estimated)"}


class NothingFits(TflmOptError):
    """No net of a space that was priced meets the limits.

    Example:
        >>> NothingFits([{"sram": 90_000}, {"sram": 70_000}], {"sram": 65_536}).least
        {'sram': 70000}

    Args:
        needs: of each net that was priced, what it needs of each limit; at least one net.
        limits: what there is, by the same names: "sram", "flash" (bytes), "latency_ms".
        remedies: what would have to change, besides larger limits.

    Attributes:
        tried: how many nets were priced.
        limits: as given.
        least: the smallest need found of each limit; not all of one net.
        nearest: the needs of the net that comes closest: whose worst excess is the smallest.
        binding: limits that no net meets; where each can be met alone but never all together,
            those that `nearest` breaks.
        remedies: what would make some net fit.
    """

    def __init__(
        self,
        needs: Sequence[Mapping[str, float]],
        limits: Mapping[str, float],
        *,
        remedies: Sequence[str] = (),
    ) -> None:
        self.tried = len(needs)
        self.limits = dict(limits)
        self.least = {name: min(one[name] for one in needs) for name in limits}
        nearest = min(needs, key=lambda one: max(one[n] / max(limits[n], 1e-9) for n in limits))
        self.nearest = {name: nearest[name] for name in limits}
        alone = tuple(name for name in limits if self.least[name] > limits[name])
        self.binding = alone or tuple(n for n in limits if self.nearest[n] > limits[n])
        wider = " and ".join(f"{n} to {_rounded_up(self.nearest[n])}" for n in self._broken())
        self.remedies = (f"raise {wider}: then a net fits that was found", *remedies)
        super().__init__("\n".join(self._lines(together=not alone)))

    def _broken(self) -> list[str]:
        return [name for name in self.limits if self.nearest[name] > self.limits[name]]

    def _lines(self, *, together: bool) -> list[str]:
        lines = [f"none of {self.tried:,} nets of the space fits"]
        if together:
            lines[0] += ": each limit can be met, but no net meets all of them"
        for name, limit in self.limits.items():
            unit = _UNITS.get(name, f"bytes of {name}")
            bound = "  <- binds" if name in self.binding else ""
            lines.append(
                f"  {unit}: the limit is {limit:,.10g}, the least found {self.least[name]:,.10g}, "
                f"of the nearest net {self.nearest[name]:,.10g}{bound}"
            )
        return [*lines, *(f"  remedy: {remedy}" for remedy in self.remedies)]


def _rounded_up(need: float) -> str:
    """
    >>> _rounded_up(70_000), _rounded_up(12.3401)
    ('70,000', '12.35')
    """
    return f"{need:,}" if isinstance(need, int) else f"{math.ceil(need * 100) / 100:,}"


class UnknownBoard(TflmOptError):
    """No board of that name. Attributes: name, nearest (close names, best first)."""

    def __init__(self, name: str, nearest: Sequence[str]) -> None:
        hint = (
            f"did you mean {' or '.join(nearest)}?" if nearest else "`tflm-opt boards` lists them"
        )
        super().__init__(f"unknown board {name!r}: {hint}")
        self.name = name
        self.nearest = tuple(nearest)


class MissingTool(TflmOptError):
    """A compiler, emulator or wheel is not installed.

    Attributes:
        tool: what is missing.
        install: the command that installs it, or "" where there is none for every system.
    """

    def __init__(self, tool: str, *, needed_for: str, install: str) -> None:
        how = f". Install it: {install}" if install else ""
        super().__init__(f"{tool} is needed {needed_for}, and was not found{how}")
        self.tool = tool
        self.install = install


class ToolFailed(TflmOptError):
    """A compiler, emulator or child process failed. Attributes: tool, output (its last lines)."""

    def __init__(self, tool: str, message: str, *, output: str = "") -> None:
        super().__init__(f"{tool}: {message}" + (f"\n{output}" if output else ""))
        self.tool = tool
        self.output = output


class NoProfiler(TflmOptError):
    """QEMU can't be watched block by block here; `reason` says why. Totals can be counted still."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"QEMU's plugin can't be used: {reason}")
        self.reason = reason


class OutputExists(TflmOptError):
    """The output folder holds files that are not ours. Attributes: path."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} exists and holds other files; nothing was written. "
            "Name an empty folder, or pass --force (force=True) to replace what is there"
        )
        self.path = path
