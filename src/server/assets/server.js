// What the page asks of its server. A visitor is known by a cookie; within a site, where a browser takes that
// away, by a pass that goes with every request.

import { keepPass, onChange, readPass } from "./kept.js";

const { base } = document.body.dataset;
// A pass that was forgotten, a new one, and a server that was busy in between.
const STRANGERS_MAX = 3;

let pass = readPass();

// Another tab of theirs may have become somebody before this one.
onChange(() => { pass = readPass() ?? pass; });

export async function ask(path, options = {}) {
  for (let strangers = 0; ; strangers += 1) {
    const shown = pass;
    const headers = { ...options.headers, ...(shown && { "nuncio-visitor": shown }) };
    const answer = await fetch(base + path, { ...options, headers });
    if (answer.status !== 401 || strangers === STRANGERS_MAX) return answer;
    // On a page of its own there is a new cookie, and no pass.
    const { pass: fresh } = await answer.json().catch(() => ({}));
    // Another request may have become somebody meanwhile.
    if (pass === shown) pass = fresh;
  }
}

// The server says whether the cookie holds; where it does, nothing else need be kept.
export function settle(isKept) {
  if (!pass) return;
  if (isKept) pass = undefined;
  keepPass(pass);
}

// Reads a stream of events to its end. An `EventSource` could not show a pass.
export async function listen(path, signal, take) {
  const answer = await ask(path, { headers: { accept: "text/event-stream" }, signal });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const lines = event.split("\n");
      const field = (name) => lines.find((line) => line.startsWith(name))?.slice(name.length).trim();
      take(field("event:"), JSON.parse(field("data:")));
    }
  }
}
