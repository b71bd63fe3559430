"""The temporal order problem with three symbols."""

from __future__ import annotations

from rnnlab.tasks.temporal_order import TemporalOrder


class TemporalOrder3Bit(TemporalOrder):
    """Among distractors, A or B comes at three places; which came in which order is wanted at the end.

    Inputs as with two. Places in [.1L, .2L), [.3L, .4L) and [.6L, .7L); eight classes 4 s0 + 2 s1 + s2. Trivial
    baseline ln 8. Lag: L - 1 - floor(.1 L). Source: Pascanu 2013, as its code has it; solved with under 1% errors
    (Hochreiter & Schmidhuber 1997, task 6b: one-hot of 8, and 571,100 sequences of 100 to 110).
    """

    outputs = 8
    tenths = (1, 3, 6)
