// What all charts share: colours that work in light and dark, axes with units, and how curves are asked for.
"use strict";

const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function layout(more) {
  const axis = { gridcolor: ink("--line"), zerolinecolor: ink("--line"), automargin: true };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink("--ink"), size: 13 },
    margin: { l: 60, r: 16, t: 20, b: 46 }, showlegend: false,
  };
  const merged = { ...base, ...more };
  for (const key of Object.keys(merged)) {
    if (/^[xy]axis/.test(key)) merged[key] = { ...axis, ...merged[key] };
  }
  return merged;
}

const OPTIONS = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

async function curves(sweep, trial, name) {
  const which = name ? `?name=${encodeURIComponent(name)}` : "";
  const answer = await fetch(`/api/sweeps/${encodeURIComponent(sweep)}/trials/${trial}/curves${which}`);
  return answer.ok ? answer.json() : null;
}

function log10(values) {
  return values.map((v) => (v === null ? null : v > 0 ? Math.log10(v) : null));
}

function isNorm(name) {
  return !/loss|saturation|weight_share|jacobian|lyapunov/.test(name);
}
