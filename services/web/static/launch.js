// The launch form: a recipe's YAML, checked while one types, its plan, and the launch itself.
"use strict";

const form = document.getElementById("launch");
const text = document.getElementById("yaml");
const said = document.getElementById("said");
const go = document.getElementById("go");
const planned = document.getElementById("planned");
let timer = null;
let asked = 0;
let key = crypto.randomUUID ? crypto.randomUUID() : String(Math.random());

function body() {
  const workers = Number(document.getElementById("workers").value);
  return JSON.stringify({ yaml: text.value, ...(workers ? { workers } : {}) });
}

function post(path, headers) {
  return fetch(path, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: body() });
}

async function check() {
  const mine = ++asked;
  const answer = await post("/api/sweeps/check");
  const seen = await answer.json();
  if (mine !== asked) return; // typed on since
  said.className = answer.ok ? "note good" : "error";
  said.textContent = answer.ok
    ? `valid: ${seen.trials} trials of ${seen.replicates} replicates, ${seen.updates} updates each`
    : seen.detail;
  go.disabled = !answer.ok;
  text.setAttribute("aria-invalid", String(!answer.ok));
}

text.addEventListener("input", () => {
  go.disabled = true;
  key = crypto.randomUUID ? crypto.randomUUID() : String(Math.random());
  clearTimeout(timer);
  timer = setTimeout(check, 300);
});

document.getElementById("recipe").addEventListener("change", async (event) => {
  const answer = await fetch(`/api/recipes/${event.target.value}`);
  if (answer.ok) { text.value = await answer.text(); check(); }
});

document.getElementById("plan").addEventListener("click", async (event) => {
  event.target.disabled = true;
  planned.hidden = false;
  planned.textContent = "measuring, a few seconds";
  const answer = await post("/api/sweeps/plan");
  planned.textContent = answer.ok ? await answer.text() : (await answer.json()).detail;
  event.target.disabled = false;
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  go.disabled = true;
  const answer = await post("/api/sweeps", { "Idempotency-Key": key });
  const seen = await answer.json();
  if (answer.ok) { location.href = `/sweeps/${encodeURIComponent(seen.id)}`; return; }
  said.className = "error";
  said.textContent = seen.detail;
  go.disabled = false;
});

check();
