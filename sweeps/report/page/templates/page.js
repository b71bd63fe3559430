"use strict";
const plots = JSON.parse(document.getElementById("plots").textContent);
const config = {responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false, doubleClick: "reset"};

/* A colour that a plot names, `var(--blue)`, as it is on this screen. */
function coloured(value) {
  if (typeof value === "string" && value.startsWith("var(--")) {
    return getComputedStyle(document.documentElement).getPropertyValue(value.slice(4, -1)).trim();
  }
  if (Array.isArray(value)) return value.map(coloured);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, coloured(one)]));
  }
  return value;
}

function themed(layout) {
  const ink = coloured("var(--ink)"), grid = coloured("var(--grid)"), line = coloured("var(--line)");
  const axis = {gridcolor: grid, zerolinecolor: line, linecolor: line, tickcolor: line, fixedrange: true};
  const font = {color: ink, size: 12, family: getComputedStyle(document.body).fontFamily};
  const hoverlabel = {bgcolor: coloured("var(--panel)"), bordercolor: line, font};
  return {
    ...coloured(layout), font, hoverlabel, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    xaxis: {...axis, ...coloured(layout.xaxis)}, yaxis: {...axis, ...coloured(layout.yaxis)},
  };
}

function draw(element) {
  const plot = plots[element.dataset.plot];
  return Plotly.react(element, coloured(plot.data), themed(plot.layout), config);
}

function visible() {
  return [...document.querySelectorAll(".plot")].filter((element) => !element.closest("[hidden]"));
}

/* One plot after another, so that the page answers while it draws. */
async function drawAll() {
  for (const element of visible()) {
    await draw(element);
    await new Promise((resume) => setTimeout(resume, 0));
  }
  document.documentElement.dataset.ready = "yes";
}

for (const select of document.querySelectorAll("select[data-slots]")) {
  const choices = document.querySelector(`[data-choices="${select.dataset.slots}"]`);
  const show = () => {
    for (const choice of choices.children) choice.hidden = choice.dataset.choice !== select.value;
    for (const element of choices.querySelectorAll(":scope > :not([hidden]) .plot")) draw(element);
  };
  select.addEventListener("change", show);
  if (select.value !== "0") show(); /* a reloaded page keeps its choice */
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending" || !head.hasAttribute("aria-sort");
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows];
      const known = (row) => row.cells[column].dataset.sort;
      const numeric = rows.some((row) => known(row) !== undefined);
      const order = (a, b) => {
        if (!numeric) return a.cells[column].textContent.localeCompare(b.cells[column].textContent) * (up ? 1 : -1);
        const [x, y] = [known(a), known(b)].map((text) => (text === undefined || text === "nan" ? NaN
          : text === "inf" ? Infinity : Number(text)));
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y); /* unknown stays last */
        return x === y ? 0 : (x < y ? -1 : 1) * (up ? 1 : -1);
      };
      body.append(...rows.sort(order));
    });
  });
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
drawAll();
