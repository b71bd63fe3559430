// What all charts share: colours of light and dark, axes with units, names in words, and how curves are asked for.
"use strict";

const ROLES = ["first", "middle", "last"];
const DASHES = ["dot", "dash", "solid"];
const WORDS = {
  anchor: ["G2: gradient left at lag k", "norm"],
  total: ["G1: gradient of the loss by state, dL/dh", "norm"],
  inputs: ["gradient of the loss by input, dL/dx", "norm"],
  reach: ["reach of a random direction", "norm"],
  weight_norm: ["what a timestep adds to the gradient of W_hh", "norm"],
  weight_share: ["share of a timestep in the gradient of W_hh", "share"],
  jacobian_condition: ["condition of the Jacobian", "condition"],
  jacobian: ["singular values of the Jacobian", "singular value"],
  lyapunov: ["Lyapunov exponents", "1/step"],
  saturation: ["saturated units", "share"],
  gate: ["mean of a gate", "value"],
  early_share: ["share of dL/dx up to timestep t", "share"],
  anytime_loss: ["loss, read out at every timestep", "loss"],
  loss: ["loss", "loss"],
};

function words(name) {
  const kind = Object.keys(WORDS).find((one) => name === one || name.startsWith(`${one}_`));
  return kind ? WORDS[kind] : [name, "value"];
}

function isLog(name) {
  return ["norm", "condition", "singular value"].includes(words(name)[1]);
}

function unit(name) {
  return isLog(name) ? `log10 ${words(name)[1]}` : words(name)[1];
}

function across(seen) {
  return { lag: "lag k (steps back from the end)", timestep: "timestep t (steps)", index: "place in the list" }[seen.axis];
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function layout(more) {
  const axis = { gridcolor: ink("line"), zerolinecolor: ink("line"), linecolor: ink("line"), automargin: true };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink("ink"), size: 13, family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: ink("raised"), font: { color: ink("ink") } },
    margin: { l: 56, r: 16, t: 12, b: 44 }, showlegend: false,
  };
  const merged = { ...base, ...more };
  for (const key of ["xaxis", "yaxis"]) merged[key] = { ...axis, ...merged[key] };
  return merged;
}

const OPTIONS = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "zoomIn2d", "zoomOut2d", "autoScale2d"] };

async function curves(sweep, trial, name, log10) {
  const which = new URLSearchParams({ ...(name ? { name } : {}), ...(log10 ? { log10: "true" } : {}) });
  const answer = await fetch(`/api/sweeps/${encodeURIComponent(sweep)}/trials/${trial}/curves?${which}`);
  return answer.ok ? answer.json() : null;
}

function places(row) {
  return row.map((_, place) => place);
}

function ends(rows, pad = 0.05) {
  const found = rows.flat().filter((value) => value !== null);
  if (!found.length) return undefined;
  const low = found.reduce((a, b) => Math.min(a, b));
  const high = found.reduce((a, b) => Math.max(a, b));
  const room = (high - low || 1) * pad;
  return [low - room, high + room];
}

// Plotly reads its colours once: when the system turns light or dark, what is drawn is drawn again.
function whenColoursChange(draw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
