"""What others reach with the same nets, and what this project set out to reach.

Bytes of arena, published:

TFLM: with CMSIS-NN, tensors and persistent state, measured. TinyEngine and X-CUBE-AI: from
TinyEngine's README, thousands of bytes. TinyTS (HPCA 2024): the arenas in its published code.
MCUNetV2 (Lin et al., 2021): its paper. msf-CNN (NeurIPS 2025): its analytic model, for a net of the
same shape; MCUNetV2 and msf-CNN leave the input out.

Instructions of one inference, all counted on the same emulated cores as ours: TFLM of August 2026
with its reference kernels or with the CMSIS-NN that it pins (4ab83cc3), and TinyEngine of November
2024 with its float requantization, which is off by up to 3 steps (mcunet_vww1; of the others its
generator takes only mlperf_tiny_ad). GCC 12.2, -O2, TinyEngine -Ofast as its makefile has it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INPUTS = ("resident", "streamed")


@dataclass(frozen=True, slots=True)
class Published:
    """An arena, and the recomputation it takes.

    Attributes:
        arena: bytes.
        extra_macs: as a fraction of the net's.
    """

    arena: int
    extra_macs: float = 0.0

    def __str__(self) -> str:
        return f"{self.arena:,}" + (f" at +{self.extra_macs:.0%}" if self.extra_macs else "")


@dataclass(frozen=True, slots=True)
class Peers:
    """Figures for one net, by tool.

    Attributes:
        resident: with the input, as (tool, figure).
        streamed: without it.
        goals: by kind of input: what to reach, and the extra MACs allowed for it.
    """

    resident: tuple[tuple[str, Published], ...] = ()
    streamed: tuple[tuple[str, Published], ...] = ()
    goals: dict[str, tuple[Published, ...]] = field(default_factory=dict)

    def of(self, kind: str) -> tuple[tuple[str, Published], ...]:
        return self.resident if kind == "resident" else self.streamed

    def goal(self, kind: str, extra_macs: float) -> Published | None:
        """The hardest goal that a schedule with so many extra MACs may count for.

        >>> PEERS["mcunet_vww1"].goal("streamed", 0.1)
        Published(arena=12000, extra_macs=0.4)
        """
        allowed = [goal for goal in self.goals.get(kind, ()) if goal.extra_macs >= extra_macs]
        return min(allowed, key=lambda goal: goal.extra_macs, default=None)


def _goals(resident: int | None, *streamed: Published) -> dict[str, tuple[Published, ...]]:
    whole = {} if resident is None else {"resident": (Published(resident),)}
    return whole | {"streamed": streamed}


PEERS: dict[str, Peers] = {
    "mcunet_vww1": Peers(
        (
            ("TFLM", Published(161_472 + 58_448)),
            ("TinyEngine", Published(92_000)),
            ("X-CUBE-AI", Published(113_000)),
            ("TinyTS", Published(36_960)),
        ),
        (
            ("TinyTS", Published(34_448)),
            ("msf-CNN", Published(13_376, 0.35)),
            ("msf-CNN", Published(12_000, 0.96)),
        ),
        _goals(26_000, Published(17_000), Published(12_000, 0.4)),
    ),
    "mcunet_in4": Peers(
        (("TinyEngine", Published(416_000)), ("X-CUBE-AI", Published(342_000))),
        (),
        _goals(95_000, Published(60_000)),
    ),
    "mobilenet_v2_035_144": Peers(
        (
            ("TFLM", Published(311_040)),
            ("TinyEngine", Published(308_000)),
            ("TinyTS", Published(80_640)),
        ),
        (("TinyTS", Published(52_672)),),
        _goals(70_000, Published(38_000)),
    ),
    "mobilenet_v2_100_224": Peers(
        (),
        (("MCUNetV2", Published(172_000, 0.1)),),
        _goals(None, Published(120_000, 0.05)),
    ),
    "mlperf_tiny_vww": Peers(
        (
            ("TFLM", Published(73_728 + 27_076)),
            ("X-CUBE-AI", Published(71_900)),
            ("TinyTS", Published(29_568)),
        ),
        (("TinyTS", Published(13_824)),),
        _goals(28_700, Published(13_800)),
    ),
    "mlperf_tiny_ic": Peers(
        (
            ("TFLM", Published(49_728 + 5_364)),
            ("X-CUBE-AI", Published(63_800)),
            ("TinyTS", Published(14_272)),
        ),
        (("TinyTS", Published(13_568)),),
        _goals(14_200, Published(13_500)),
    ),
    "mlperf_tiny_kws": Peers(
        (
            ("TFLM", Published(16_000 + 6_916)),
            ("X-CUBE-AI", Published(28_600)),
            ("TinyTS", Published(9_920)),
        ),
        (("TinyTS", Published(9_920)),),
        _goals(9_000, Published(9_000)),
    ),
    "mlperf_tiny_ad": Peers(
        (("TFLM", Published(768 + 1_908)), ("X-CUBE-AI", Published(6_500))),
    ),
}
NOBODY = Peers()


@dataclass(frozen=True, slots=True)
class Counted:
    """Instructions of one inference on one core, by tool, and how many may be spent.

    Attributes:
        goal: the most, under the budget of `BUDGETS`.
    """

    others: dict[str, int]
    goal: int


REFERENCE, CMSIS_NN, TINY_ENGINE = "TFLM", "TFLM + CMSIS-NN", "TinyEngine"

# Bytes of SRAM, stack included, under which speed is compared.
BUDGETS = {
    "mcunet_vww1": 48 << 10,
    "mlperf_tiny_vww": 48 << 10,
    "mlperf_tiny_kws": 20 << 10,
    "mlperf_tiny_ic": 40 << 10,
    "mlperf_tiny_ad": 8 << 10,
}
# What the least memory may cost, of the goal under a budget.
SMALLEST = 1.35


def _m4(reference: int, cmsis_nn: int, goal: int, **more: int) -> Counted:
    names = {REFERENCE: reference, CMSIS_NN: cmsis_nn}
    return Counted(names | ({TINY_ENGINE: more["tiny_engine"]} if more else {}), goal)


# By emulated board, then by net.
COUNTED: dict[str, dict[str, Counted]] = {
    "qemu_m4": {
        "mcunet_vww1": _m4(189_200_000, 48_630_000, 14_500_000, tiny_engine=34_750_000),
        "mlperf_tiny_vww": _m4(100_300_000, 24_100_000, 5_600_000),
        "mlperf_tiny_kws": _m4(43_000_000, 7_700_000, 3_000_000),
        "mlperf_tiny_ic": _m4(107_400_000, 29_860_000, 10_000_000),
        "mlperf_tiny_ad": _m4(1_950_000, 583_000, 360_000, tiny_engine=772_000),
    },
    "qemu_m55": {
        "mcunet_vww1": Counted({CMSIS_NN: 11_960_000}, 6_500_000),
        "mlperf_tiny_vww": Counted({CMSIS_NN: 6_560_000}, 2_200_000),
        "mlperf_tiny_kws": Counted({CMSIS_NN: 1_820_000}, 1_000_000),
        "mlperf_tiny_ic": Counted({CMSIS_NN: 4_910_000}, 3_200_000),
        "mlperf_tiny_ad": Counted({CMSIS_NN: 150_000}, 100_000),
    },
    "qemu_m3": {
        name: Counted({REFERENCE: count}, count * 3 // 10)
        for name, count in {
            "mcunet_vww1": 189_517_434,
            "mlperf_tiny_vww": 99_027_560,
            "mlperf_tiny_kws": 42_093_358,
            "mlperf_tiny_ic": 105_767_516,
            "mlperf_tiny_ad": 1_954_044,
        }.items()
    },
}
