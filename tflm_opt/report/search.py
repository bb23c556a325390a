"""A study as text, and as plain data."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..nas.study import Study
    from ..nas.trials import Trial


def search_data(study: Study) -> dict[str, Any]:
    """What was searched, all trials, and the numbers of those on the front; for `json.dumps`."""
    return {
        "directory": str(study.directory),
        "setup": asdict(study.setup),
        "trials": [_trial(trial) for trial in study.trials],
        "front": [trial.number for trial in study.pareto()],
        "best": study.best.number if study.complete else None,
    }


def _trial(trial: Trial) -> dict[str, Any]:
    plain = {f.name: getattr(trial, f.name) for f in fields(trial) if f.name != "study"}
    return {**plain, "cost": None if trial.cost is None else asdict(trial.cost)}


def search_text(study: Study) -> str:
    """A line about the study, and the front, the most accurate net first."""
    lines = [repr(study).strip("<>")]
    front = study.pareto()
    if front:
        lines += ["", "trial accuracy  SRAM, bytes  flash, bytes  latency, ms     MACs  input"]
    for trial in front:
        cost = trial.cost
        assert cost is not None  # of complete trials, of which fronts are
        lines.append(
            f"{trial.number:5} {trial.accuracy:8.4f} {cost.sram:12,} {cost.flash:13,} "
            f"{cost.latency_ms:12.1f} {cost.macs / 1e6:7.2f}M  {cost.input}"
        )
    return "\n".join(lines)
