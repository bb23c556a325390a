"""A study's directory: what is searched, with what, and where the trials are.

    study.json   format, space, limits, board, seed, evaluator, …: a `Setup`
    data.npz     training and validation data (`nas.data`)
    study.db     trials, unless a database's URL was given
    log/         what workers wrote

What decides which candidates there are and what they are worth is fixed when the directory is made;
how long to search, and with how many workers, isn't.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import StudyError, TflmOptError
from ..export.folder import write_file
from .finals import FINALS, Finals
from .generations import Generations
from .halving import HALVING, Halving
from .ledger import full, is_full
from .limits import Limits

FORMAT = 3
POPULATION = 50
SUPERNET = "supernet"  # as an evaluator, and as the name of its options
FILE, DATABASE, LOG = "study.json", "study.db", "log"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a study searches.

    Attributes:
        space: as its `to_json` says.
        limits: by name, as `Limits.to_json` says.
        board: whose core and clock count.
        input: "resident", "streamed" or "any": how nets may take their input.
        seed: of all that is drawn.
        evaluator: "supernet", "train", "halving" or "module:function".
        objectives: of which the front is sought; the first is "accuracy".
        population: candidates a generation; with halving, those that a ladder begins with.
        options: for evaluators: epochs, batch size, ….
        threads: of each worker's numerics.
        data: a digest of the data, "" for a search without.
        pricer: "" for `Pricer`, or "module:function" that takes a net and gives its `Cost`.
        storage: the URL of a database, "" for `study.db`; $NAMES are those of the environment.
        name: of the study in the database.
        family: the space that `space` was chosen from by a survey; {} if there was none.
        trials: when to stop, None for never.
    """

    space: dict[str, Any]
    limits: dict[str, Any]
    board: str
    input: str = "any"
    seed: int = 0
    evaluator: str = "supernet"
    objectives: tuple[str, ...] = ("accuracy",)
    population: int = POPULATION
    options: dict[str, Any] = field(default_factory=dict)
    threads: int = 1
    data: str = ""
    pricer: str = ""
    storage: str = ""
    name: str = ""
    family: dict[str, Any] = field(default_factory=dict)
    trials: int | None = None

    def database(self, directory: Path) -> str | Path:
        """A URL as SQLAlchemy takes it, or the path of SQLite's file."""
        return os.path.expandvars(self.storage) if self.storage else directory / DATABASE

    def directions(self) -> list[str]:
        """Of the objectives, as Optuna calls them."""
        return ["maximize" if name == "accuracy" else "minimize" for name in self.objectives]

    def limit(self) -> Limits:
        return Limits(**self.limits)

    def halving(self) -> Halving | None:
        """How candidates become fewer, if they do."""
        if self.evaluator != HALVING and HALVING not in self.options:
            return None
        return Halving.from_json(self.options.get(HALVING, {}))

    def finals(self) -> Finals | None:
        """How many nets are trained by themselves after they were judged, if any are."""
        if self.evaluator != SUPERNET and FINALS not in self.options:
            return None
        finals = Finals.from_json(self.options.get(FINALS, {}))
        return finals if finals.nets else None

    def generations(self) -> Generations:
        """Which slots belong together."""
        halving = self.halving()
        if halving is None:
            finals = self.finals()
            return Generations((self.population, *([finals.nets] if finals else [])))
        return Generations(tuple(rung.keep for rung in halving.rungs(self.population)))

    def fixed(self) -> dict[str, Any]:
        """What decides which candidates there are and what they are worth."""
        changing = ("storage", "name", "trials")
        plain = {k: v for k, v in asdict(self).items() if k not in changing}
        return json.loads(json.dumps(plain))

    def digest(self) -> str:
        """Of `fixed`."""
        return hashlib.sha256(json.dumps(self.fixed(), sort_keys=True).encode()).hexdigest()[:16]


def new_name() -> str:
    """A name that no other study has."""
    return f"tflm_opt-{uuid.uuid4().hex[:12]}"


def save(directory: Path, setup: Setup) -> None:
    """Write study.json, whole or not at all.

    Raises:
        SearchFailed: the disk is full; StudyError: the directory can't be written to.
    """
    data = {"format": FORMAT, "tflm_opt": __version__, "digest": setup.digest(), **asdict(setup)}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_file(directory / FILE, json.dumps(data, indent=2) + "\n")
    except OSError as error:
        if is_full(error):
            raise full(str(directory)) from error
        raise unwritable(directory, error) from error


def unwritable(directory: Path, error: OSError) -> StudyError:
    """Why a directory takes no study."""
    return StudyError(str(directory), f"can't be written to: {error.strerror or error}")


def exists(directory: Path) -> bool:
    """Whether there is a study. A directory with other things in it is refused.

    Raises:
        StudyError: not a directory, or one that holds other files.
    """
    if (directory / FILE).exists():
        return True
    if directory.exists() and not directory.is_dir():
        raise StudyError(str(directory), "is a file: name a directory for the study")
    ours = {DATABASE, LOG, "data.npz", "survey.json", "survey.svg"}
    others = [p.name for p in directory.iterdir()] if directory.exists() else []
    others = sorted(n for n in others if n not in ours and not n.startswith("."))
    if others:
        raise StudyError(
            str(directory),
            f"holds {others[0]!r} and no {FILE}: it is no study's directory. Name an empty or new "
            "one; nothing was written",
        )
    return False


def load(directory: Path) -> Setup:
    """Read study.json.

    Raises:
        StudyError: there is none, it is damaged, or of another version.
    """
    where = str(directory)
    try:
        data = json.loads((directory / FILE).read_text("utf-8"))
    except FileNotFoundError:
        raise StudyError(where, f"holds no {FILE}: it is no study's directory") from None
    except (OSError, ValueError) as error:
        raise StudyError(where, f"{FILE} can't be read ({error}); {_RESTORE}") from error
    if not isinstance(data, dict) or not isinstance(data.get("format"), int):
        raise StudyError(where, f"{FILE} is not one that a search wrote; {_RESTORE}")
    if data["format"] != FORMAT:
        raise StudyError(
            where,
            f"the study is of format {data['format']}, made by tflm_opt {data.get('tflm_opt')}; "
            f"this is tflm_opt {__version__}, which reads format {FORMAT}. Resume it with that "
            "version, or start another directory",
        )
    return _parsed(where, data)


_RESTORE = "trials are in the database still: restore the file, or start another directory"


def _parsed(where: str, data: Mapping[str, Any]) -> Setup:
    known = {f.name for f in fields(Setup)}
    try:
        values = {k: v for k, v in data.items() if k in known}
        setup = Setup(**{**values, "objectives": tuple(values.get("objectives", ()))})
        setup.limit()
        intact = data["digest"] == setup.digest()
    except (TypeError, KeyError, ValueError, TflmOptError) as error:
        raise StudyError(where, f"{FILE} is damaged ({error}); {_RESTORE}") from error
    if not intact:
        raise StudyError(
            where,
            f"{FILE} was changed by hand: its trials were found with other settings. Undo the "
            "change, or start another directory",
        )
    return setup


def compare(directory: Path, stored: Setup, asked: Mapping[str, Any]) -> None:
    """Refuse to go on with a study under other settings than it was made with.

    Args:
        asked: what was asked for, by the names of `Setup`; what wasn't said is left out.

    Raises:
        StudyError: something differs.
    """
    have = stored.fixed()
    for name, value in json.loads(json.dumps(dict(asked))).items():
        if have[name] != value:
            raise StudyError(
                str(directory),
                f"the study there has {_said(name, have[name], value)}. Leave it out to go on with "
                "the study as it is, or name another directory",
            )


def _said(name: str, have: Any, asked: Any) -> str:
    """What differs, in a line; of a space or limits, the parts that do."""
    if name == "data":
        return "other data than what was given"
    if isinstance(have, dict) and isinstance(asked, dict):
        parts = sorted(k for k in {*have, *asked} if have.get(k) != asked.get(k))
        first = parts[0]
        return f"the {name} with {first} = {have.get(first)!r}, and {asked.get(first)!r} was asked"
    return f"{name} = {have!r}, and {asked!r} was asked"
