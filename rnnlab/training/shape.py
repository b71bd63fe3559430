"""What trials have in common that can be trained side by side. Loads no torch."""

from __future__ import annotations

import json

from rnnlab.choices import choose
from rnnlab.clipping import CLIPS
from rnnlab.spec import TrialSpec


def shape_of(spec: TrialSpec) -> str:
    """A text that two trials share where they can be lanes of one network: all but what a lane may have of its own.

    Of its own it has its seed and block, how it begins (`init`, `bias_init`), its learning rate, and of its clip the
    option that the table of clips names as `by_lane`.
    """
    data = spec.model_dump(mode="json", exclude={"seed", "block"})
    for name in ("init", "bias_init"):
        del data["model"][name]
    del data["optim"]["lr"]
    clip = spec.optim.clip
    own = choose(CLIPS, clip.kind).by_lane
    data["optim"]["clip"] = [clip.kind, {name: value for name, value in clip.options.items() if name != own}]
    return json.dumps(data, sort_keys=True)
