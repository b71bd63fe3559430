"""Probes: measurements at a chosen update. Each only measures; when, and where it goes, is passed in."""

from rnnlab.choices import Line, Table

PROBES = Table(
    "probe",
    {
        "loss": Line("rnnlab.probes.loss:loss_curve", "loss at each timestep, and the anytime readout", "-"),
        "total": Line(
            "rnnlab.probes.total:total_curves",
            "G1: norm of the exact total dL/dh_t (dL/dc_t) by timestep and layer",
            "Arjovsky 2016",
        ),
        "inputs": Line("rnnlab.probes.inputs:input_curve", "norm of dL/dx_t by timestep", "-"),
        "anchor": Line(
            "rnnlab.probes.anchor:anchor_curves",
            "G2: norm of d<v, s_T>/ds_(T-k) by lag and layer, float64; the verdict reads it",
            "Hochreiter 1991; Pascanu 2013",
        ),
    },
)
