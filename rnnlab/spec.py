"""What a trial is: frozen models, extra keys refused, JSON and YAML both ways. Loads no torch.

A `TrialSpec` says everything that decides a trial's numbers. Fields that choose from a table hold a `Choice`
(name and options); `task` and `optim` are written flat: `{kind: adding, length: 100}`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

from rnnlab.activations import ACTIVATIONS
from rnnlab.between import BETWEEN
from rnnlab.cells import CELLS
from rnnlab.choices import Choice, From, Table, choose, nearest, options_of, parse_choice
from rnnlab.clipping import CLIPS
from rnnlab.errors import SpecError
from rnnlab.inits import BIAS_INITS, INITS
from rnnlab.plugin_check import check_model, check_trial
from rnnlab.probes import PRESETS, PROBES, USUAL
from rnnlab.regularisers import REGULARISERS
from rnnlab.tasks import TASKS
from rnnlab.training import OPTIMISERS
from rnnlab.written import dump_yaml, read_spec_file, validated


class Spec(BaseModel):
    """A frozen model that refuses extra keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quiet: ClassVar[tuple[str, ...]] = ()
    """Fields that are written only where they are not the default: a spec from before them keeps its hash."""

    def _spoken(self, data: dict[str, Any]) -> dict[str, Any]:
        fields = type(self).model_fields
        still = {name for name in self.quiet if getattr(self, name) == fields[name].get_default()}
        return {name: value for name, value in data.items() if name not in still}


class FlatSpec(Spec):
    """A spec written flat: `kind`, its own fields, and the options of that kind's table line beside them."""

    table: ClassVar[Table]
    kind: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise SpecError(
                f"a {cls.table.noun} is written {{kind: ..., option: value}}, but got {data!r} "
                f"(kinds: {', '.join(cls.table)})"
            )
        own = {name: value for name, value in data.items() if name in cls.model_fields}
        if "kind" not in own:
            default = cls.model_fields["kind"].default
            if not isinstance(default, str):
                raise SpecError(f"a {cls.table.noun} requires `kind` (kinds: {', '.join(cls.table)})")
            own["kind"] = default
        given = dict(own.get("options") or {})
        given |= {name: value for name, value in data.items() if name not in cls.model_fields}
        options = choose(cls.table, str(own["kind"])).options
        known = [name for name in (*cls.model_fields, *options) if name != "options"]
        for name in given:
            if name not in known:
                raise SpecError(
                    f"{cls.table.noun} {own['kind']!r} has no option {name!r}{nearest(str(name), known)} "
                    f"(its options: {', '.join(options) or 'none'})"
                )
        own["options"] = options_of(cls.table, str(own["kind"]), given)
        return own

    @model_serializer(mode="wrap")
    def _flat(self, handler: Any) -> dict[str, Any]:
        data = self._spoken(handler(self))
        options = {name: value for name, value in data.pop("options", {}).items() if value is not None}
        kind = {"kind": data.pop("kind")} if "kind" in data else {}
        return {**kind, **options, **data}


class LossSpec(Spec):
    """Where the loss sits and how L_1, L_2, ... combine into L."""

    at: Literal["every", "last"] | list[int] = "last"
    """Timesteps with a loss: all, the last, or these (0-based; negative counts from the end)."""
    combine: Literal["mean", "sum"] = "mean"
    """How the losses of those timesteps become one."""


class TaskSpec(FlatSpec):
    """A task and its options, and optionally where its loss sits."""

    table: ClassVar[Table] = TASKS
    loss: LossSpec | None = None
    """None: where the task has it by definition."""


FURTHEST = 1024
"""Timesteps that a dilated layer may reach back in one step."""


class TruncateSpec(Spec):
    """Truncated backpropagation, BPTT(k2; k1) of Williams & Peng 1990."""

    k1: int = Field(ge=1)
    """Timesteps between two backward passes."""
    k2: int = Field(ge=1)
    """Timesteps that each goes back through; gradients past it are exactly 0."""

    @model_validator(mode="after")
    def _reaches(self) -> Self:
        if self.k2 < self.k1:
            raise SpecError(f"`k1 <= k2` must hold, but got (k1={self.k1}, k2={self.k2}); losses would be left out")
        return self


class ModelSpec(Spec):
    """A recurrent network: cells stacked in depth, and a linear readout."""

    quiet = ("between", "zoneout_h", "zoneout_c", "dropout", "dilation", "dilation_start", "truncate")

    cell: Annotated[Choice, From(CELLS)] = parse_choice(CELLS, "rnn")
    activation: Annotated[Choice, From(ACTIVATIONS)] | None = None
    """Nonlinearity of the cells that take one; None: that cell's own (tanh of the plain RNN), nothing elsewhere."""
    hidden: int = Field(64, ge=1, le=4096)
    """H, units in a layer."""
    depth: int = Field(1, ge=1, le=4)
    """L, layers."""
    init: Annotated[Choice, From(INITS)] = parse_choice(INITS, "default")
    """How weights begin."""
    bias_init: Annotated[Choice, From(BIAS_INITS)] = parse_choice(BIAS_INITS, "default")
    """How gate biases begin, after `init`."""
    between: Annotated[Choice, From(BETWEEN)] = parse_choice(BETWEEN, "plain")
    """What a layer's h becomes before the next one reads it."""
    zoneout_h: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)
    """p that a unit keeps its h, in training; elsewhere a share p of it."""
    zoneout_c: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)
    """The same of c, of a cell that has one."""
    dropout: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)
    """p that a unit's h is not read back, in training: one mask for all timesteps (recurrent, variational)."""
    dilation: int = Field(1, ge=1, le=16)
    """Base b: h_t of layer l, counted from 0, follows from h_(t-d), d = dilation_start b^l."""
    dilation_start: int = Field(1, ge=1, le=FURTHEST)
    """d of the bottom layer."""
    truncate: TruncateSpec | None = None
    """Truncated backpropagation; None: through all timesteps."""

    @model_serializer(mode="wrap")
    def _short(self, handler: Any) -> dict[str, Any]:
        return self._spoken(handler(self))

    @model_validator(mode="before")
    @classmethod
    def _cells_own_activation(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("activation") is not None:
            return data
        own = choose(CELLS, parse_choice(CELLS, data.get("cell", "rnn")).kind).activation
        return {**data, "activation": own} if own else data

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for table, choice in (
            (ACTIVATIONS, self.activation),
            (INITS, self.init),
            (BIAS_INITS, self.bias_init),
        ):
            cells = choose(table, choice.kind).cells if choice else None
            if choice and cells is not None and self.cell.kind not in cells:
                raise SpecError(
                    f"{table.noun} {choice.kind!r} requires the cell {' or '.join(cells)}, but the cell is "
                    f"{self.cell.kind!r}; leave {table.noun} out, or in a space add "
                    f"`when: {{cell: {cells[0]}}}`{', with those of these cells that it has' if len(cells) > 1 else ''}"
                )
        known = choose(INITS, self.init.kind).activations
        if known is not None and self.activation is not None and self.activation.kind not in known:
            raise SpecError(
                f"init {self.init.kind!r} requires the activation {' or '.join(known)}, but the activation is "
                f"{self.activation.kind!r}; choose another init, or in a space add "
                f"`when: {{activation: {list(known)}}}`"
            )
        furthest = self.dilation_start * self.dilation ** (self.depth - 1)
        if furthest > FURTHEST:
            raise SpecError(
                f"dilation_start b^(depth - 1) must be at most {FURTHEST:,}, but is {furthest:,} (dilation_start="
                f"{self.dilation_start}, b={self.dilation}, depth={self.depth}); lower one"
            )
        check_model(self)
        if self.zoneout_c or self.dropout:
            from rnnlab.architecture import check_cell  # loads the cell, and with it torch

            check_cell(self)
        return self


class OptimSpec(FlatSpec):
    """How a network is updated: optimiser and its options, learning rate, batch, clip."""

    table: ClassVar[Table] = OPTIMISERS
    quiet = ("regulariser", "gradient_checkpointing")
    kind: str = "adam"
    lr: float = Field(1e-3, gt=0, le=100, allow_inf_nan=False)
    """Learning rate."""
    batch: int = Field(32, ge=1, le=65_536)
    """B, sequences in an update."""
    clip: Annotated[Choice, From(CLIPS)] = parse_choice(CLIPS, "none")
    """What is done to the gradient first."""
    regulariser: Annotated[Choice, From(REGULARISERS)] = parse_choice(REGULARISERS, "none")
    """What is added to the gradient before that."""
    gradient_checkpointing: Literal["sqrt"] | Annotated[int, Field(ge=1, strict=True)] | None = None
    """Timesteps of a segment that the backward pass computes again (sqrt: √T); None: every activation is kept."""


class VerdictSpec(Spec):
    """Thresholds of a verdict (SCIENCE.md section 5), on norms at lag k against the norm at `first_lag`."""

    decades: float = Field(3.0, gt=0)
    """|D| above this is vanishing or exploding, in powers of ten."""
    explosion_hump: float = Field(1e3, gt=1)
    """A largest norm above this multiple is exploding, whatever D says."""
    transient_hump: float = Field(10.0, gt=1)
    """A largest norm above this multiple is transient."""
    first_lag: int = Field(5, ge=0)
    """The lag that norms are compared with; gated cells lie at lag 0."""
    least_lags: int = Field(15, ge=2)
    """Fewer lags than this is too_short."""
    horizon: float = Field(3.0, gt=0)
    """r: the horizon H_r is the smallest lag with a norm below 10^-r of that at first_lag."""


class ExplodedSpec(Spec):
    """When a replicate counts as exploded, beside any non-finite value."""

    ratio: float = Field(100.0, gt=1)
    """Multiple of the median that the applied gradient's norm must pass."""
    window: int = Field(50, ge=1)
    """Pre-clip norms that the median is taken over."""
    least: int = Field(10, ge=1)
    """Norms that must have been seen."""


class ProbeSpec(Spec):
    """What is measured, when, and how it is judged."""

    measure: list[str] = list(USUAL)
    """Names of probes, or the preset `signals`: anchor, jacobian, saturation, early_share."""
    schedule: Literal["log"] | list[int] = "log"
    """Updates to probe at: 0, 1, 2, 5, 10, 20, 50, ..., 2%, 5% and 10% of the budget and the last; or these and the
    last."""
    batch: int = Field(32, ge=1, le=4096)
    """Validation sequences in the probe batch."""
    verdict: VerdictSpec = VerdictSpec()
    exploded: ExplodedSpec = ExplodedSpec()

    @field_validator("measure", mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in PRESETS:
            raise SpecError(
                f"probe.measure is a list of probes ({', '.join(PROBES)}) or a preset ({', '.join(PRESETS)}), "
                f"but got {value!r}{nearest(value, [*PRESETS, *PROBES])}"
            )
        return list(PRESETS[value])

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.measure:
            parse_choice(PROBES, name)
        if "anchor" not in self.measure:
            raise SpecError("probe.measure must hold 'anchor': the verdict reads it; add it")
        if isinstance(self.schedule, list) and any(update < 0 for update in self.schedule):
            raise SpecError(f"probe.schedule holds updates of 0 or more, but got {self.schedule}")
        return self


class BudgetSpec(Spec):
    """How long a trial trains, the same for every trial of a sweep."""

    updates: int = Field(2000, ge=1)
    """Optimiser updates."""
    evaluations: int = Field(10, ge=1)
    """Times that the validation loss is taken and told to the pruner, evenly spaced."""


class TrialSpec(Spec):
    """Everything that decides a trial's numbers."""

    task: TaskSpec
    model: ModelSpec = ModelSpec()
    optim: OptimSpec = OptimSpec()
    probe: ProbeSpec = ProbeSpec()
    budget: BudgetSpec = BudgetSpec()
    replicates: int = Field(5, ge=1, le=256)
    """R, seeds trained side by side as lanes."""
    seed: int = 0
    """The sweep's seed."""
    block: int = Field(0, ge=0)
    """Which draw of the nuisance values; seeds are hash(seed, block, replicate)."""

    @property
    def config_hash(self) -> str:
        """12 hex digits that two trials share when only their block and seeds differ."""
        data = self.model_dump(mode="json", exclude={"seed", "block", "replicates"})
        return content_hash(data)

    @model_validator(mode="after")
    def _own_code_fits(self) -> Self:
        check_trial(self)
        return self

    @model_validator(mode="after")
    def _clip_fits(self) -> Self:
        kind, cell = self.optim.clip.kind, self.model.cell.kind
        cells = choose(CLIPS, kind).cells
        if cells is not None and cell not in cells:
            raise SpecError(
                f"clip {kind!r} requires the cell {' or '.join(cells)}, but the cell is {cell!r}; choose another clip, "
                f"or in a space add `when: {{cell: {list(cells)}}}`"
            )
        if kind == "timestep" and (self.model.zoneout_h or self.model.zoneout_c or self.model.truncate):
            raise SpecError(
                "clip 'timestep' requires neither zoneout nor truncate, whose passes autograd does; drop one"
            )
        return self

    @model_validator(mode="after")
    def _regulariser_fits(self) -> Self:
        chosen, model = self.optim.regulariser, self.model
        line = choose(REGULARISERS, chosen.kind)
        if line.cells is not None and model.cell.kind not in line.cells:
            raise SpecError(
                f"regulariser {chosen.kind!r} requires the cell {' or '.join(line.cells)}, but the cell is "
                f"{model.cell.kind!r}; choose another, or in a space add `when: {{cell: {list(line.cells)}}}`"
            )
        if line.activations is not None and model.activation and model.activation.kind not in line.activations:
            raise SpecError(
                f"regulariser {chosen.kind!r} requires the activation {' or '.join(line.activations)}, but the "
                f"activation is {model.activation.kind!r}; choose another, or in a space add "
                f"`when: {{activation: {list(line.activations)}}}`"
            )
        if chosen.kind == "omega" and (model.zoneout_h or model.dropout or self.optim.clip.kind == "timestep"):
            raise SpecError(
                "regulariser 'omega' requires neither zoneout_h nor dropout nor the clip 'timestep', with which W_hh "
                "alone is not what takes delta back; drop one"
            )
        return self

    @model_validator(mode="after")
    def _checkpointing_fits(self) -> Self:
        optim, model = self.optim, self.model
        furthest = model.dilation_start * model.dilation ** (model.depth - 1)
        without = {
            "truncate": model.truncate is None,
            "dilation": furthest == 1,
            "clip 'timestep'": optim.clip.kind != "timestep",
            f"regulariser {optim.regulariser.kind!r}": optim.regulariser.kind == "none",
        }
        if optim.gradient_checkpointing is not None and not all(without.values()):
            which = ", ".join(name for name, fits in without.items() if not fits)
            raise SpecError(
                f"gradient_checkpointing requires an update without {which}, which needs all timesteps at once; "
                "drop one"
            )
        return self

    def to_yaml(self) -> str:
        """YAML that `TrialSpec.from_file` reads back as an equal spec."""
        return dump_yaml(self.model_dump(mode="json"))

    @classmethod
    def from_file(cls, path: Path) -> TrialSpec:
        """The spec in a YAML or JSON file.

        Raises:
            SpecError: with everything that is wrong in one message.
        """
        return validated(cls, read_spec_file(path), str(path))


def content_hash(data: Any) -> str:
    """12 hex digits of the content of JSON-able data, whatever the order of its keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
