"""The backprop inspector: record what a program computes, forward and backward, and look at it.

    from scratchgan.inspect import record

    with record() as tape:
        loss = program(x)
        gradients = grad(loss, parameters)
    tape.save("step.html")          one page, to open from the disk
    print(tape.summary())
    print(tape.check())             every vjp against `scratchgan.gradcheck`

See docs/inspector.md. ``record`` is in record.py, what it writes in events.py and values.py, what is worked out from
that in replay.py, checks.py, costs.py, health.py and rules.py, and the page in document.py, page.py and page/.
"""

from .record import part, record
from .replay import ReplayError, Row
from .tape import Tape

__all__ = ["ReplayError", "Row", "Tape", "part", "record"]
