// One trial: a gradient curve at each probe, the loss by timestep, a heatmap over updates with a slider.
"use strict";

const box = document.getElementById("trial");
const sweep = box.dataset.sweep;
const trial = box.dataset.trial;
const pick = document.getElementById("curve");
const slider = document.getElementById("update");
let shown = null;

function lines(where, seen, title, asLog) {
  const count = seen.updates.length;
  const rows = [...new Set([0, Math.floor(count / 2), count - 1])];
  const data = rows.map((row, i) => ({
    y: asLog ? log10(seen.values[row]) : seen.values[row], x: seen.values[row].map((_, t) => t), mode: "lines",
    line: { color: COLOURS[i], width: 2, dash: ["dot", "dash", "solid"][i] }, name: `update ${seen.updates[row]}`,
  }));
  Plotly.newPlot(where, data, layout({ showlegend: true, legend: { orientation: "h", y: 1.12 }, xaxis: { title: { text: `${seen.axis} (steps)` } }, yaxis: { title: { text: title } } }), OPTIONS);
}

function mark() {
  const row = Number(slider.value);
  document.getElementById("at").textContent = shown.updates[row];
  const line = { type: "line", xref: "paper", x0: 0, x1: 1, y0: row, y1: row, line: { color: COLOURS[5], width: 2 } };
  Plotly.relayout("heat", { shapes: [line] });
  const asLog = isNorm(shown.name);
  const values = shown.values[row];
  Plotly.react("gradient", [{ y: asLog ? log10(values) : values, x: values.map((_, t) => t), mode: "lines", line: { color: COLOURS[0], width: 2 }, name: `update ${shown.updates[row]}` }],
    layout({ showlegend: true, legend: { orientation: "h", y: 1.12 }, xaxis: { title: { text: `${shown.axis} (steps)` } }, yaxis: { title: { text: asLog ? "log10 norm" : shown.name } } }), OPTIONS);
}

async function show(name) {
  const seen = await curves(sweep, trial, name);
  document.getElementById("none").hidden = Boolean(seen && seen.updates.length);
  if (!seen || !seen.updates.length) return null;
  shown = seen;
  if (!pick.options.length) for (const one of seen.names) pick.add(new Option(one, one, false, one === seen.name));
  const asLog = isNorm(seen.name);
  lines("gradient", seen, asLog ? "log10 norm" : seen.name, asLog);
  slider.max = seen.updates.length - 1;
  slider.value = seen.updates.length - 1;
  document.getElementById("at").textContent = seen.updates.at(-1);
  const z = seen.values.map((row) => (asLog ? log10(row) : row));
  Plotly.newPlot("heat", [{ z, type: "heatmap", colorscale: "Cividis", colorbar: { title: { text: asLog ? "log10 norm" : seen.name, side: "right" } } }],
    layout({ xaxis: { title: { text: `${seen.axis} (steps)` } }, yaxis: { title: { text: "update" }, tickvals: seen.updates.map((_, i) => i), ticktext: seen.updates.map(String) } }), OPTIONS);
  return seen;
}

pick.addEventListener("change", () => show(pick.value));
slider.addEventListener("input", mark);
show(null).then(async (seen) => {
  if (!seen) return;
  const name = ["loss", "anytime_loss"].find((one) => seen.names.includes(one));
  if (!name) { document.getElementById("loss").textContent = "This trial recorded no loss by timestep."; return; }
  const loss = await curves(sweep, trial, name);
  if (loss) lines("loss", loss, "loss", false);
});
