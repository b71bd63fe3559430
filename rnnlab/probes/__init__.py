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
        "jacobian": Line(
            "rnnlab.probes.jacobian:jacobian_curves",
            "G3: singular values of ds_T/ds_(T-k) at a few lags and their condition number",
            "Saxe 2014; Engelken 2023",
        ),
        "lyapunov": Line(
            "rnnlab.probes.lyapunov:lyapunov_curve",
            "leading Lyapunov exponents of the whole state by QR, in nats a step",
            "Benettin 1980; Engelken 2023",
        ),
        "weight_share": Line(
            "rnnlab.probes.weight_share:weight_share_curves",
            "G4: norm of delta_t h_(t-1)^T by timestep and layer, and its share of the sum",
            "Pascanu 2013; Aicher 2019",
        ),
        "reach": Line(
            "rnnlab.probes.reach:reach_curves",
            "G6: norms of dL_tau/ds_t and dL_tau/dx_t by timestep, for up to 8 loss positions tau",
            "Pascanu 2013",
        ),
        "saturation": Line(
            "rnnlab.probes.saturation:saturation_curves",
            "share of units with a derivative below 0.05 by timestep, and means of gates",
            "Glorot 2010",
        ),
        "early_share": Line(
            "rnnlab.probes.early_share:early_share_curve",
            "share of the norms of dL/dx_t that timesteps 0 ... t hold",
            "-",
        ),
    },
)

USUAL = ("loss", "total", "inputs", "anchor")
"""What is measured unless a spec says otherwise."""
PRESETS = {"signals": ("anchor", "jacobian", "saturation", "early_share")}
"""Names for several probes at once: `signals` is what may tell early which network will learn."""
