"""Training in a child process that is replaced from time to time, so that memory stays bounded.

Each net that TensorFlow compiles for training leaves 10 MB (three layers) to 60 MB (twenty) that
nothing gives back, not even Keras's `clear_session`: a study of a thousand nets would end for lack
of memory.

The two talk in lines of JSON: a question in, an answer out. The child ends when its input does, so
it outlives nobody; Ctrl-C is left to the parent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from queue import Queue
from typing import Any

from .. import errors
from ..errors import ToolFailed
from .evaluate import Evaluation, make_evaluator
from .net import Net

TRIALS = 10  # in one process
# TensorFlow leaves oneDNN's kernels off on processors without AVX-512 VNNI, though they are faster
# there too (`benchmarks/nas_training.py`).
ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "1"}


class ChildEvaluator:
    """An evaluator that asks another one, which lives in a child process.

    Args:
        settings, directory: as for `make_evaluator`, which the child calls.
        trials: after so many the child is replaced by a new one.
    """

    def __init__(
        self, settings: Mapping[str, Any], directory: str | Path, *, trials: int = TRIALS
    ) -> None:
        self.settings = {**settings, "processes": False}
        self.directory = Path(directory)
        self.trials = trials
        self._child: subprocess.Popen[str] | None = None
        self._asked = 0

    def evaluate(
        self, architecture: Mapping[str, Any], net: Net, *, seed: int, **how: Any
    ) -> Evaluation:
        """See `Evaluator`.

        Args:
            how: what else the evaluator there takes, as plain values.

        Raises:
            ToolFailed: the child died (of a lack of memory, as a rule), or raised what is no error
                of ours. The next call has a new one.
        """
        given = {"architecture": dict(architecture), "seed": seed, **how}
        answer = self._answer({"net": net.to_json(), "evaluate": given})
        self._asked += 1
        if self._asked >= self.trials:
            self.close()
        if "error" in answer:
            raise _error(answer)
        return Evaluation(answer["accuracy"], answer["detail"])

    def score(self, net: Net, *, seed: int) -> float:
        """See `ClimbEvaluator.score`; nothing is compiled for it, so it doesn't count as a trial.

        Raises:
            ToolFailed: as `evaluate`.
        """
        answer = self._answer({"net": net.to_json(), "score": {"seed": seed}})
        if "error" in answer:
            raise _error(answer)
        return answer["score"]

    def _answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._ask(question)
        except BaseException:  # whoever stops the parent stops the training too
            self.close()
            raise

    def close(self) -> None:
        """End the child."""
        child, self._child, self._asked = self._child, None, 0
        if child is not None:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()

    def __del__(self) -> None:
        self.close()

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        if self._child is None:
            self._child = self._started()
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(question) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            status = child.wait()
            ended = f"signal {-status}" if status < 0 else f"status {status}"
            raise ToolFailed(
                "training", f"its process ended with {ended}; signal 9 means too little memory"
            )
        return json.loads(line)

    def _started(self) -> subprocess.Popen[str]:
        paths = [path for path in sys.path if path]
        return subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(self.settings), str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**ONEDNN, **os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )


def _error(answer: Mapping[str, Any]) -> Exception:
    """The child's error once more: ours by its kind, others by their text."""
    kind = getattr(errors, answer["kind"], None)
    if kind in (errors.DataError, errors.TflmOptError):
        return kind(answer["error"])
    return ToolFailed("training", f"{answer['kind']}: {answer['error']}")


def main() -> None:
    """The child: answers until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    questions: Queue[str] = Queue()

    def read() -> None:
        for line in sys.stdin:
            questions.put(line)
        os._exit(0)  # the parent is gone: nobody waits for what is being trained

    threading.Thread(target=read, daemon=True).start()
    evaluator: Any = None
    while True:
        question = json.loads(questions.get())
        try:
            if evaluator is None:
                evaluator = make_evaluator(json.loads(sys.argv[1]), sys.argv[2])
            net = Net.from_json(question["net"])
            if "score" in question:
                answer = {"score": evaluator.score(net, **question["score"])}
            else:
                answer = asdict(evaluator.evaluate(net=net, **question["evaluate"]))
        except Exception as error:
            answer = {"kind": type(error).__name__, "error": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
