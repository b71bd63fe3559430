// One sweep: its changing parts follow the event stream; stop and resume; gradients as small multiples.
"use strict";

const now = document.getElementById("now");
const spoken = document.getElementById("spoken");
const grid = document.getElementById("gradients");
const id = now.dataset.sweep;
const path = `/sweeps/${encodeURIComponent(id)}`;
const DRAW_EVERY = 10000; // ms
const SPEAK_EVERY = 20000; // ms

// Only a part that changed is put in, so that focus, an open list and a scrolled table stay as they are.
function put(fresh) {
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const old = now.querySelector(`[data-part="${part.dataset.part}"]`);
    if (old.innerHTML === part.innerHTML) continue;
    const at = document.activeElement;
    const focus = old.contains(at) ? key(at) : null;
    const scrolled = old.querySelector(".wide")?.scrollLeft;
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    old.replaceChildren(...part.childNodes); // from our own templates, which escape
    for (const [at, one] of old.querySelectorAll("details").entries()) one.open = open[at] ?? false;
    if (scrolled) old.querySelector(".wide").scrollLeft = scrolled;
    if (focus) (old.querySelector(focus) ?? now).focus({ preventScroll: true });
  }
}

function key(element) {
  if (element.dataset.do) return "[data-do]";
  if (element.hasAttribute("href")) return `a[href="${CSS.escape(element.getAttribute("href"))}"]`;
  return element.matches(".wide") ? ".wide" : element.tagName;
}

async function refresh() {
  const answer = await fetch(`${path}/now`, { headers: { Accept: "text/html" } });
  if (answer.status === 401 || answer.redirected) return location.reload();
  if (!answer.ok) return;
  put(new DOMParser().parseFromString(await answer.text(), "text/html"));
  speak();
  soon("draw", draw, DRAW_EVERY);
}

const waiting = {};
function soon(name, what, after) {
  if (!waiting[name]) waiting[name] = setTimeout(() => { waiting[name] = null; what(); }, after);
}

let told = { text: "", at: 0 };
function speak() {
  const line = now.querySelector("[data-said]").dataset.said;
  const other = line.split(":")[0] !== told.text.split(":")[0];
  if (line === told.text || (!other && Date.now() - told.at < SPEAK_EVERY)) return;
  told = { text: line, at: Date.now() };
  spoken.textContent = line;
}

let stream = null;
function follow() {
  stream?.close();
  stream = new EventSource(`/api${path}/stream`);
  stream.addEventListener("sweep", (event) => {
    soon("refresh", refresh, 500);
    const seen = JSON.parse(event.data);
    if (["finished", "failed", "stopped"].includes(seen.status) && !seen.lost) {
      stream.close();
      setTimeout(refresh, 5000); // the report is written last
    }
  });
  stream.addEventListener("event", () => soon("refresh", refresh, 500));
}

now.addEventListener("click", async (event) => {
  const what = event.target.dataset?.do;
  if (!what || event.target.ariaDisabled === "true") return;
  event.target.ariaDisabled = "true"; // not `disabled`, which would lose the focus
  const answer = await fetch(`/api${path}/${what}`, { method: "POST" });
  if (!answer.ok) {
    const problem = document.getElementById("problem");
    problem.textContent = (await answer.json()).detail;
    problem.hidden = false;
  }
  await refresh();
  follow();
});

// G2 in decades relative to lag 5, as in the report: lag 0 still holds what the readout alone brings.
function relative(row) {
  const reference = row[Math.min(5, row.length - 1)];
  return reference === null ? row.map(() => null) : row.map((value) => (value === null ? null : value - reference));
}

const kept = new Map();
async function seenOf(panel) {
  if (!kept.has(panel.trial)) {
    const seen = await curves(id, panel.trial, null, true);
    if (!seen || !seen.updates.length) return null;
    kept.set(panel.trial, { first: relative(seen.values[0]), last: relative(seen.values.at(-1)), updates: [seen.updates[0], seen.updates.at(-1)], lag: seen.axis === "lag" });
  }
  return { ...panel, ...kept.get(panel.trial) };
}

let drawn = "";
async function draw() {
  const source = now.querySelector("[data-panels]");
  if (source.dataset.panels === drawn) return;
  const panels = (await Promise.all(JSON.parse(source.dataset.panels).map(seenOf))).filter((one) => one?.lag);
  drawn = source.dataset.panels;
  document.getElementById("gradients-none").hidden = panels.length > 0;
  document.getElementById("gradients-about").hidden = panels.length === 0;
  const limit = Number(source.dataset.limit);
  const [low, high] = ends(panels.flatMap((one) => [one.first, one.last])) ?? [-1, 1];
  const range = [Math.max(-24, Math.min(low, -limit - 0.5)), Math.min(12, Math.max(high, 1))];
  const open = document.activeElement?.getAttribute("href");
  grid.replaceChildren(...panels.map(figure));
  for (const [i, one] of panels.entries()) {
    const lines = ["first", "last"].map((role) => ({
      x: places(one[role]), y: one[role], mode: "lines", line: { dash: role === "first" ? "dot" : "solid", color: ink(role), width: 2 },
    }));
    const rule = { type: "line", xref: "paper", x0: 0, x1: 1, y0: -limit, y1: -limit, line: { color: ink("quiet"), width: 1, dash: "dash" } };
    Plotly.newPlot(grid.children[i].querySelector(".panel"), lines, layout({
      shapes: [rule], margin: { l: 42, r: 6, t: 4, b: 36 }, font: { size: 11, color: ink("ink"), family: "system-ui, sans-serif" },
      xaxis: { title: { text: "lag k (steps)", standoff: 4 }, nticks: 4, rangemode: "tozero" }, yaxis: { title: { text: "decades", standoff: 4 }, range, nticks: 5 },
    }), { responsive: true, staticPlot: true });
  }
  if (open) grid.querySelector(`a[href="${CSS.escape(open)}"]`)?.focus({ preventScroll: true });
}

function figure(one) {
  const whole = document.createElement("figure");
  const title = document.createElement("figcaption");
  const link = document.createElement("a");
  link.href = `${path}/trials/${one.trial}`;
  link.textContent = one.label;
  title.append(link);
  const panel = document.createElement("div");
  panel.className = "panel";
  panel.setAttribute("role", "img");
  const ending = (row) => row.findLast((value) => value !== null)?.toFixed(1) ?? "no";
  panel.setAttribute("aria-label", `${one.label}: ${ending(one.first)} decades at the largest lag at update ${one.updates[0]}, ${ending(one.last)} at update ${one.updates[1]}`);
  whole.append(title, panel);
  return whole;
}

if (now.dataset.live === "1") follow();
speak();
draw();
whenColoursChange(() => { drawn = ""; draw(); });
