// One trial: a gradient curve at each probe, the loss by timestep, a heatmap over updates with a slider.
"use strict";

const box = document.getElementById("trial");
const { sweep, trial, state } = box.dataset;
const pick = document.getElementById("curve");
const slider = document.getElementById("update");
const LOOK_EVERY = 5000; // ms, while it runs
let shown = null;
let moved = false;

function chart(where, seen, rows, title, more) {
  const data = rows.map(({ row, role, dash }) => ({
    x: places(seen.values[row]), y: seen.values[row], mode: "lines", name: `update ${seen.updates[row]}`,
    line: { color: ink(role), width: 2, dash }, hovertemplate: "%{x}: %{y:.3g}",
  }));
  const whole = layout({ showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, margin: { l: 56, r: 16, t: 34, b: 44 },
    xaxis: { title: { text: across(seen) } }, yaxis: { title: { text: title }, ...more } });
  Plotly.react(where, data, whole, OPTIONS);
}

function three(seen) {
  const last = seen.updates.length - 1;
  const rows = [0, Math.floor(seen.updates.length / 2), last];
  return rows.map((row, i) => ({ row, role: ROLES[i], dash: DASHES[i] })).filter((one, i) => i === 2 || one.row !== last).filter((one, i) => i !== 1 || one.row !== 0);
}

function gradient() {
  const row = Number(slider.value);
  const rows = moved ? [{ row: 0, role: "first", dash: "dot" }, { row, role: "last", dash: "solid" }] : three(shown);
  chart("gradient", shown, row === 0 && moved ? rows.slice(1) : rows, unit(shown.name), { range: ends(shown.values) });
}

function heat() {
  const rows = places(shown.updates);
  const every = Math.ceil(rows.length / 10);
  const ticks = rows.filter((row) => row % every === 0);
  const at = Number(slider.value);
  const narrow = window.innerWidth < 600;
  const frame = { type: "rect", xref: "paper", x0: 0, x1: 1, y0: at - 0.5, y1: at + 0.5, line: { color: ink("exploding"), width: 3 } };
  const bar = narrow ? { orientation: "h", y: 1.02, yanchor: "bottom", thickness: 12 } : { thickness: 16 };
  Plotly.react("heat", [{
    z: shown.values, type: "heatmap", colorscale: "Cividis", hovertemplate: "update %{customdata}, %{x}: %{z:.3g}<extra></extra>",
    customdata: shown.updates.map((update) => shown.values[0].map(() => update)),
    colorbar: { ...bar, outlinewidth: 0, title: { text: unit(shown.name), side: narrow ? "top" : "right" } },
  }], layout({
    shapes: [frame], margin: { l: 56, r: 16, t: narrow ? 70 : 12, b: 44 }, xaxis: { title: { text: across(shown) }, showgrid: false },
    yaxis: { title: { text: "update" }, tickvals: ticks, ticktext: ticks.map((row) => String(shown.updates[row])), showgrid: false, zeroline: false },
  }), OPTIONS);
}

function mark() {
  const update = shown.updates[Number(slider.value)];
  document.getElementById("at").textContent = update;
  slider.setAttribute("aria-valuetext", `update ${update}`);
}

function fill(names, chosen) {
  if (pick.options.length) return;
  const groups = new Map();
  for (const name of names.filter((one) => one !== "jacobian_lags")) {
    const title = words(name)[0];
    if (!groups.has(title)) groups.set(title, []);
    groups.get(title).push(name);
  }
  for (const [title, members] of groups) {
    const group = document.createElement("optgroup");
    group.label = title;
    for (const one of members) group.append(new Option(one, one, false, one === chosen));
    pick.append(group);
  }
}

async function show(name) {
  const first = name ?? (await curves(sweep, trial, null, false))?.name;
  const seen = first ? await curves(sweep, trial, first, isLog(first)) : null;
  const some = Boolean(seen?.updates.length);
  document.getElementById("none").hidden = some;
  document.getElementById("charts").hidden = !some;
  if (!some) return;
  shown = seen;
  fill(seen.names, seen.name);
  document.getElementById("gradient-title").textContent = `${words(seen.name)[0][0].toUpperCase()}${words(seen.name)[0].slice(1)}`;
  slider.max = seen.updates.length - 1;
  if (!moved) slider.value = slider.max;
  mark();
  gradient();
  heat();
}

async function loss() {
  const name = shown && ["loss", "anytime_loss"].find((one) => shown.names.includes(one));
  const seen = name ? await curves(sweep, trial, name, false) : null;
  document.getElementById("loss-none").hidden = Boolean(seen);
  document.getElementById("loss").hidden = !seen;
  document.getElementById("anytime").hidden = name !== "anytime_loss";
  if (!seen) return;
  const found = seen.values.flat().filter((value) => value !== null);
  const span = found.every((value) => value > 0) ? Math.log10(Math.max(...found)) - Math.log10(Math.min(...found)) : 0;
  // an exploded loss spans hundreds of decades: a tick for each would be a black bar
  const axis = span > 2 ? { type: "log", exponentformat: "power", dtick: Math.ceil(span / 6) } : { rangemode: "tozero" };
  chart("loss", seen, three(seen), `loss${box.dataset.unit ? ` (${box.dataset.unit})` : ""}`, axis);
}

pick.addEventListener("change", () => show(pick.value));
slider.addEventListener("input", () => { moved = true; mark(); gradient(); heat(); });
whenColoursChange(() => { if (shown) { gradient(); heat(); loss(); } });
show(null).then(loss);
if (state === "running") {
  setInterval(async () => {
    if (document.hidden) return;
    await show(shown ? shown.name : null);
    await loss();
  }, LOOK_EVERY);
}
