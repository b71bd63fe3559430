// Looks again every few seconds while a sweep of the table is queued or runs.
"use strict";

async function again() {
  const table = document.querySelector("table[data-live]");
  if (!table || table.dataset.live === "0" || document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("table[data-live]");
  if (!fresh || fresh.innerHTML === table.innerHTML) return;
  const focus = table.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  table.replaceWith(fresh);
  if (focus) fresh.querySelector(`a[href="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
}

setInterval(again, 4000);
