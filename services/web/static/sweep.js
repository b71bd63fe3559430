// One sweep: its changing part follows the event stream; stop and resume; gradients as small multiples.
"use strict";

const now = document.getElementById("now");
const id = now.dataset.sweep;
const path = `/sweeps/${encodeURIComponent(id)}`;

async function refresh() {
  const answer = await fetch(`${path}/now`, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const open = now.querySelector("details")?.open;
  now.innerHTML = await answer.text(); // from our own templates, which escape
  if (open) now.querySelector("details").open = true;
}

let waiting = null;
function soon() {
  if (!waiting) waiting = setTimeout(() => { waiting = null; refresh(); }, 1000);
}

function follow() {
  const stream = new EventSource(`/api${path}/stream`);
  stream.addEventListener("sweep", (event) => {
    soon();
    const status = JSON.parse(event.data).status;
    if (["finished", "failed", "stopped"].includes(status)) {
      stream.close();
      setTimeout(draw, 1500);
    }
  });
  stream.addEventListener("event", soon);
}

now.addEventListener("click", async (event) => {
  const what = event.target.dataset?.do;
  if (!what) return;
  event.target.disabled = true;
  const answer = await fetch(`/api${path}/${what}`, { method: "POST" });
  if (!answer.ok) alert((await answer.json()).detail);
  await refresh();
  follow();
});

async function draw() {
  const box = document.getElementById("gradients");
  const trials = JSON.parse(box.dataset.trials);
  const labels = JSON.parse(box.dataset.labels);
  const found = [];
  for (let i = 0; i < trials.length; i += 1) {
    const seen = await curves(id, trials[i], null);
    if (seen && seen.updates.length) found.push({ trial: trials[i], label: labels[i], seen });
  }
  document.getElementById("gradients-none").hidden = found.length > 0;
  box.hidden = found.length === 0;
  if (!found.length) return;
  const columns = window.innerWidth < 700 ? 2 : 4;
  const rows = Math.ceil(found.length / columns);
  const data = [];
  const more = { grid: { rows, columns, pattern: "coupled", xgap: 0.08, ygap: 0.3 / Math.max(1, rows) }, annotations: [] };
  more.grid.pattern = "independent";
  found.forEach((one, i) => {
    const n = i ? i + 1 : "";
    const last = one.seen.values.length - 1;
    const steps = one.seen.values[last].length;
    for (const [row, dash, colour] of [[0, "dot", COLOURS[1]], [last, "solid", COLOURS[0]]]) {
      const back = log10(one.seen.values[row]).reverse();
      data.push({ x: [...Array(steps).keys()], y: back, mode: "lines", line: { dash, color: colour, width: 2 }, xaxis: `x${n}`, yaxis: `y${n}`,
        name: `update ${one.seen.updates[row]}`, hovertemplate: "%{x} steps back: 10^%{y:.1f}" });
    }
    more[`xaxis${n}`] = { title: i >= found.length - columns ? { text: "steps back" } : undefined };
    more[`yaxis${n}`] = { title: i % columns === 0 ? { text: "log10 norm" } : undefined };
    more.annotations.push({ text: `${one.trial} ${one.label}`.slice(0, 38), xref: `x${n} domain`, yref: `y${n} domain`, x: 0, y: 1.18, showarrow: false, font: { size: 11 }, xanchor: "left" });
  });
  box.style.height = `${Math.max(2, rows) * 190}px`;
  Plotly.newPlot(box, data, layout({ ...more, margin: { l: 60, r: 16, t: 36, b: 46 } }), OPTIONS);
}

if (["queued", "running"].includes(now.dataset.status)) follow();
draw();
