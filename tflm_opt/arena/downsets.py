"""Steps that wait for each other, and what is in memory between them.

A *step* makes buffers and reads buffers; a buffer is in memory from its maker to its last reader.
What is in memory between two steps depends on the *set* of steps done, not on their order: on a
downset, a set that holds all that its members wait for. `order_search` looks for the best way
through these sets. Sets are integers here, one bit a step.

**Cuts.** Where every step of a downset comes before all other steps in any order, the order may
be searched part by part. A chain has a cut behind every op.

**Bounds.** A step can't cost less than its own buffers and those that lie around it in every
order: `Part.least` is the largest such sum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Step:
    """What one step does to memory.

    Attributes:
        waits: the steps that come before it.
        made: positions of the buffers that begin with it.
        read: positions of those it reads, each once.
        distances: bytes that what it makes lies at least below a buffer that it reads for the last
            time, where the two may overlap (see `problem`), multiples of the alignment. Only for
            steps that make one buffer.
        scratch: bytes that it needs while it runs.
    """

    waits: int
    made: tuple[int, ...] = ()
    read: tuple[int, ...] = ()
    distances: Mapping[int, int] = field(default_factory=dict)
    scratch: int = 0


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps to put in order; they stand in one that is valid.

    Attributes:
        steps: what to do.
        sizes: bytes of the buffers, multiples of their alignment.
        given: buffers in memory before the first step.
        kept: buffers that stay to the end.
    """

    steps: tuple[Step, ...]
    sizes: tuple[int, ...]
    given: frozenset[int] = frozenset()
    kept: frozenset[int] = frozenset()

    def at_first(self) -> int:
        """Bytes in memory before the first step."""
        return sum(self.sizes[b] for b in self.given)


def bits(mask: int) -> Iterator[int]:
    """Members of a set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def parts(work: Steps) -> list[Part]:
    """The steps from each cut to the next, in order."""
    readers = [0] * len(work.sizes)
    for index, step in enumerate(work.steps):
        for buffer in step.read:
            readers[buffer] |= 1 << index
    return [Part(work, readers, start, members) for start, members in _between_cuts(work.steps)]


def _between_cuts(steps: Sequence[Step]) -> Iterator[tuple[int, list[int]]]:
    """(steps before, steps of the part, ascending) of every part."""
    before: list[int] = []
    for step in steps:
        every = step.waits
        for index in bits(step.waits):
            every |= before[index]
        before.append(every)
    count = len(steps)
    # A set that comes before all others is a prefix of this order.
    ranked = sorted(range(count), key=lambda i: (before[i].bit_count(), i))
    common = [(1 << count) - 1] * (count + 1)  # what comes before all from a place on
    for place in range(count - 1, -1, -1):
        common[place] = common[place + 1] & before[ranked[place]]
    start, members, done = 0, [], 0
    for place, index in enumerate(ranked):
        members.append(index)
        done |= 1 << index
        if done & ~common[place + 1] == 0:
            yield start, sorted(members)
            start, members = done, []


class Part:
    """The steps between two cuts, numbered from 0; sets are of these numbers.

    Attributes:
        members: positions of its steps among all.
        waits, followers: by step, those right before and right after it.
        effects: what the steps do.
        memory: bytes in memory before the first step.
        least: bytes that no order of these steps goes below.
    """

    def __init__(
        self, work: Steps, readers: Sequence[int], start: int, members: Sequence[int]
    ) -> None:
        self.members = members
        self.full = (1 << len(members)) - 1
        place = {index: i for i, index in enumerate(members)}
        inside = sum(1 << index for index in members)
        steps = [work.steps[index] for index in members]

        def local(mask: int) -> int:
            return sum(1 << place[index] for index in bits(mask & inside))

        self.waits = [local(step.waits) for step in steps]
        self.followers = [0] * len(steps)
        for i, waits in enumerate(self.waits):
            for j in bits(waits):
                self.followers[j] |= 1 << i
        before = {b for i in bits(start) for b in work.steps[i].made} | work.given
        held = {b for b in before if b in work.kept or readers[b] & ~start}
        self.memory = sum(work.sizes[b] for b in held)
        touched = {b for step in steps for b in (*step.made, *step.read)}
        # By buffer, its readers, if all of them are here or were before.
        ends = {
            b: local(readers[b])
            for b in touched
            if b not in work.kept and not readers[b] & ~(start | inside)
        }
        self.effects = [Effect(i, step, work.sizes, ends) for i, step in enumerate(steps)]
        # Readers of the buffers that a step is not alone to read.
        self._shared = [
            [ends[b] for b in step.read if b in ends and ends[b].bit_count() > 1] for step in steps
        ]
        self.least = self.memory
        if len(steps) > 1:
            fixed = self.memory - sum(work.sizes[b] for b in held & touched)
            self._raise_least(work.sizes, steps, ends, fixed)

    def _raise_least(
        self, sizes: Sequence[int], steps: Sequence[Step], ends: Mapping[int, int], fixed: int
    ) -> None:
        made = {b: i for i, step in enumerate(steps) for b in step.made}
        touched = {b for step in steps for b in (*step.made, *step.read)}
        before = _closure(self.waits, range(len(steps)))
        after = _closure(self.followers, range(len(steps) - 1, -1, -1))
        for i, step in enumerate(steps):
            dying = [b for b in step.read if b in ends and not ends[b] & after[i]]
            around = touched.difference(step.made, dying)
            surely = sum(
                sizes[b]
                for b in around
                if (b not in made or before[i] >> made[b] & 1)
                and (b not in ends or ends[b] & after[i])
            )
            self.least = max(self.least, fixed + surely + self.effects[i].need(dying))

    def ready(self) -> int:
        """The steps that wait for none of this part."""
        return sum(1 << i for i, waits in enumerate(self.waits) if not waits)

    def freed(self, step: int, done: int) -> int:
        """The steps that can start once `step`, which `done` holds, is done."""
        return sum(1 << i for i in bits(self.followers[step]) if not self.waits[i] & ~done)

    def touched(self, step: int, done: int) -> int:
        """The steps that need less memory once `step`, which `done` holds, is done.

        They wait for it, or are now the last reader of what it reads.
        """
        found = self.freed(step, done)
        for readers in self._shared[step]:
            left = readers & ~done
            if not left & (left - 1):
                found |= left
        return found

    def peak(self, order: Sequence[int]) -> int:
        """Bytes that the worst step of an order needs."""
        done, memory, worst = 0, self.memory, self.memory
        for i in order:
            during, after = self.effects[i].at(done)
            worst = max(worst, memory + during)
            done, memory = done | 1 << i, memory + after
        return worst


def _closure(direct: Sequence[int], order: Sequence[int]) -> list[int]:
    found = [0] * len(direct)
    for i in order:
        found[i] = direct[i]
        for j in bits(direct[i]):
            found[i] |= found[j]
    return found


class Effect:
    """What a step does to memory, by what has been done before it."""

    def __init__(
        self, index: int, step: Step, sizes: Sequence[int], ends: Mapping[int, int]
    ) -> None:
        self._step = step
        self._sizes = sizes
        self._made = sum(sizes[b] for b in step.made)
        self._stays = sum(sizes[b] for b in step.made if ends.get(b, 1))
        own = ~(1 << index)
        self._others = [(b, ends[b] & own) for b in step.read if b in ends]
        self._known: dict[int, tuple[int, int]] = {}

    def at(self, done: int) -> tuple[int, int]:
        """(bytes while it runs, bytes once it has run) on top of those before, for a set done."""
        key = 0
        for _, others in self._others:
            key = key << 1 | (not others & ~done)
        if key not in self._known:
            dying = [b for b, others in self._others if not others & ~done]
            gone = sum(self._sizes[b] for b in dying)
            self._known[key] = (self.need(dying) - gone, self._stays - gone)
        return self._known[key]

    def need(self, dying: Collection[int]) -> int:
        """Bytes of what it makes, of the buffers that end with it, and of its scratch.

        Those that may be overlapped need their own sum, or what lies at a distance above the
        output's start (see `bound`).
        """
        apart = {b: d for b, d in self._step.distances.items() if b in dying}
        best = max(self._made, sum(self._sizes[b] for b in apart))
        for distance in set(apart.values()):
            below = max(min(self._made, distance), 0)
            best = max(best, below + sum(self._sizes[b] for b, d in apart.items() if d >= distance))
        rest = sum(self._sizes[b] for b in dying if b not in apart)
        return best + rest + self._step.scratch
