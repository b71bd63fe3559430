"""No regulariser."""

from __future__ import annotations

from rnnlab.regularisers.base import Regulariser


class NoRegulariser(Regulariser):
    """Adds nothing."""

    def acts(self, update: int) -> bool:
        return False
