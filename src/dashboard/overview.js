"use strict";

// What is shown comes from the same API that the command line asks. All of it is put in as text, never as markup: much of it
// others have written.

const EVERY = 5000;
// A page that nobody looks at asks nothing, so that a session that nobody uses comes to its end.
const UNTOUCHED = 10 * 60 * 1000;
let touched = Date.now();
for (const kind of ["pointermove", "keydown", "scroll", "focus"]) {
  addEventListener(kind, () => (touched = Date.now()), { passive: true });
}
let word = "";

const at = (id) => document.getElementById(id);

async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { "x-csrf-token": word } });
  if (answer.status === 401) {
    location.reload();
  }
  const body = await answer.json();
  // Health says how it is by its status as well.
  if (!answer.ok && answer.status !== 503) {
    throw new Error(body.message || `${path}: ${answer.status}`);
  }
  return body;
}

function row(cells) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    line.append(Object.assign(document.createElement("td"), { textContent: cell ?? "–" }));
  }
  return line;
}

function number(name, value) {
  const box = document.createElement("div");
  box.append(Object.assign(document.createElement("dt"), { textContent: name }));
  box.append(Object.assign(document.createElement("dd"), { textContent: value ?? "–" }));
  return box;
}

async function show() {
  const [health, metrics, runs, events] = await Promise.all(
    ["/health", "/metrics", "/api/v1/runs?limit=15", "/api/v1/events?limit=15"].map((path) => ask(path)),
  );
  at("health").textContent = health.status;
  at("health").className = `badge ${health.status}`;
  at("numbers").replaceChildren(
    number("Events stored", metrics.eventStore.eventsStored),
    number("Waiting", metrics.eventQueue.queueSize),
    number("Steps at work", metrics.eventQueue.processingCount),
    number("Succeeded", metrics.eventQueue.eventsCompleted),
    number("Failed", metrics.eventQueue.eventsFailed),
  );
  at("runs").replaceChildren(...runs.items.map((run) => row([run.id, run.workflow, run.subject, run.status])));
  at("events").replaceChildren(
    ...events.items.map((event) =>
      row([event.receivedAt, event.source, event.action ? `${event.type}.${event.action}` : event.type, event.subject, event.status]),
    ),
  );
}

async function keepShowing() {
  try {
    if (!document.hidden && Date.now() - touched < UNTOUCHED) {
      await show();
    }
    at("trouble").textContent = "";
  } catch (error) {
    at("trouble").textContent = error.message;
  }
  setTimeout(keepShowing, EVERY);
}

async function begin() {
  const session = await ask("/api/v1/session");
  word = session.csrfToken;
  at("who").textContent = `${session.id} (${session.status})`;
  at("sign-out").addEventListener("click", async () => {
    await ask("/session/end", { method: "POST" });
    location.reload();
  });
  await keepShowing();
}

begin();
