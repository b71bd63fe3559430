// Looks again every few seconds while a sweep of the table is queued or runs.
"use strict";

async function again() {
  const table = document.querySelector("table[data-live]");
  if (!table || table.dataset.live === "0" || document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("table[data-live]");
  if (fresh) table.replaceWith(fresh);
}

setInterval(again, 4000);
