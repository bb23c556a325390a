"""Models of tensorflow-model-optimization (tfmot), and its training with quantization.

tfmot works on tf_keras alone, and importing it switches Keras for a whole process. Models that were
made with it are taken as they are (`wrappers`, `files`); its training runs in a child process
(`training`), so a process that has Keras 3 keeps it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from . import wrappers

if TYPE_CHECKING:
    from ..floatmodel import FloatModel
    from ..sources import Source
    from .training import Trained

UNTRAINED = (
    "the model's activation ranges are all still the -6 to 6 that tfmot begins with: it was made "
    "for training with quantization and not trained, so its ACCURACY is NOT TO BE TRUSTED"
)
_FAKE_QUANT = "FakeQuantWithMinMaxVars"


def opened(model: Any, source: Source) -> tuple[FloatModel, tuple[str, ...]]:
    """Load a model of any kind, without tfmot's wrappers of pruning and clustering.

    Example:
        >>> opened("pruned.h5", Source.H5_FILE)
        (FloatModel(name='model', ...), ('wrappers of pruning were still around layers: ...',))

    Raises:
        As `sources.load`, `floatmodel.view` and `wrappers.stripped`.
    """
    from .. import sources
    from ..floatmodel import view

    loaded = sources.load(model, source)
    if sources.detect(loaded) is not sources.Source.TF_KERAS:
        return view(loaded, source), ()
    clean = wrappers.stripped(loaded)
    with wrappers.untouched(clean.model):
        seen = view(clean.model, sources.Source.TF_KERAS)
    return (
        dataclasses.replace(seen, call=wrappers.keeping(clean.model, seen.call)),
        clean.remarks,
    )


def has_ranges(model: Any) -> bool:
    """Whether a model was trained with quantization by tfmot, all of it: it needs no calibration.

    A SavedModel without Keras's metadata is judged by the ops in its graph.
    """
    signatures = getattr(model, "signatures", None)
    if signatures is None or hasattr(model, "layers"):
        return wrappers.has_all_ranges(model)
    served = signatures.get("serving_default") if hasattr(signatures, "get") else None
    if served is None:
        return False
    graph = served.graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return any(node.op.startswith(_FAKE_QUANT) for node in nodes)


def remarks(model: Any) -> tuple[str, ...]:
    """What makes the ranges of a model doubtful for which `has_ranges` holds."""
    return (UNTRAINED,) if hasattr(model, "layers") and wrappers.is_untrained(model) else ()


def trained(model: FloatModel, train: Any, *, found: tuple[str, ...] = (), **how: Any) -> Trained:
    """Train a copy of an opened model in a child process; `found` are the remarks of `opened`.

    Arguments and errors: as `training.train`.
    """
    from . import training

    clustered = any(wrappers.CLUSTERING in remark for remark in found)
    return training.train(model, train, clustered=clustered, **how)
