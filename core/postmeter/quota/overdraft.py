"""How far an account may go beyond all of its blocks."""

from __future__ import annotations

import math


def room(agreement: bool, policy: str, cap: int, owed: int) -> float:
    """Units that an account may still take beyond all blocks (math.inf: any).

    ``policy`` is agreement, always or never; ``cap`` holds for what is ``owed``, on no invoice yet; 0: no cap.
    """
    if policy == "never" or (policy == "agreement" and not agreement):
        return 0
    return cap - owed if cap else math.inf
