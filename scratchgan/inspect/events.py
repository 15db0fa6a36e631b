"""What a recording consists of: events in the order in which they began, and the arrays that passed between them.

An event is one of four kinds. An `Application` is a Function applied to Tensors, forwards or inside of a vjp. A
`Pullback` is a Node's ``backward``. A `Walk` is one call of `grad` or `backward`, and contains the pullbacks. An
`Update` is an optimiser's step. Events refer to each other and to values by number, never by reference, so a recording
keeps nothing of the program alive but the copies of arrays that it says it keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Source:
    """Where a program stood: a file, a line counted from 1, and the function's name."""

    file: str
    line: int
    function: str


@dataclass
class Input:
    """What an Application was given in one place.

    ``value``: the number of the array. ``maker``: the Application that made it, and which of its ``output``s, or None.
    ``leaf``: the number of the leaf Tensor, or None. ``flows``: whether a gradient flows back through here; an array
    with a maker through which none does was detached.
    """

    value: int
    maker: int | None = None
    output: int = 0
    leaf: int | None = None
    flows: bool = False


@dataclass
class Event:
    """``index``: its number. ``parent``: the Pullback or Walk that it is part of. ``ns``: nanoseconds that it took,
    without the recording's own work; None if it did not finish. ``part`` and ``module``: see `Tape.part` and
    `scratchgan.inspect.names`; ``call``: the number of the network's call that it is in (`Tape.calls`).
    ``compiled``: whether its time has the compiling of a kernel in it, which a second run has not."""

    index: int
    parent: int | None = None
    ns: int | None = None
    part: str = ""
    module: str = ""
    call: int | None = None
    source: Source | None = None
    compiled: bool = False

    kind = "event"


@dataclass
class Application(Event):
    """``function``: the Function itself; it is applied again to compute rows and checks. ``tracked``: whether it left a
    Node. ``saved``: the numbers of the values that the Node keeps for its backward."""

    function: Any = None
    name: str = ""
    inputs: list[Input] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    tracked: bool = False
    several: bool = False
    saved: list[int] = field(default_factory=list)
    earlier: bool = False  # made before the recording began: only its name and shapes are known

    kind = "apply"


@dataclass
class Flow:
    """A part of a gradient: what input ``input`` of the Application ``consumer`` passed back (None: the seed that the
    walk began with, or an operator that is not recorded). ``share``: <part, whole> / <whole, whole>, so the shares of
    all parts add up to 1; None where the arrays were not kept."""

    value: int
    consumer: int | None = None
    input: int = 0
    share: float | None = None


@dataclass
class Pullback(Event):
    """The vjp of ``of``, an Application. ``gys``: the gradient of each output, None if nothing flowed there; ``flows``:
    what each was added up from. ``gxs``: what it returned for each input, None where it was not asked."""

    of: int = 0
    gys: list[int | None] = field(default_factory=list)
    flows: list[list[Flow]] = field(default_factory=list)
    gxs: list[int | None] = field(default_factory=list)

    kind = "pull"


@dataclass
class Arrival:
    """The whole gradient of a leaf in one walk, and what it was added up from."""

    leaf: int
    value: int
    flows: list[Flow] = field(default_factory=list)


@dataclass
class Walk(Event):
    """One reverse pass. ``roots``: the Applications that it began at. ``arrivals``: the gradients of leaves."""

    roots: list[int] = field(default_factory=list)
    create_graph: bool = False
    targets: int = 0
    arrivals: list[Arrival] = field(default_factory=list)

    kind = "walk"


@dataclass
class Update(Event):
    """An optimiser's step: (leaf, value before, gradient, value after) for each parameter that was changed."""

    optimizer: str = ""
    changes: list[tuple[int, int, int | None, int]] = field(default_factory=list)

    kind = "update"


@dataclass
class Leaf:
    """A Tensor that no recorded operator made. ``parameter``: whether it requires a gradient."""

    index: int
    name: str
    value: int
    parameter: bool
    first: int  # the event that first used it
