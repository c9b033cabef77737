// Our messages that nobody has looked at yet: counted in the title of the page, and told to the site around it.

import { isShown, tell } from "./around.js";
import { keepSeen, onChange, readSeen } from "./kept.js";

const title = document.title;
let seen = readSeen();
let unseen = [];
let hasTalked = false;

// `isNews`: it was not there when the page was opened.
export function arrived({ id, from }, isNews) {
  if (from === "visitor") return talked();
  if (isShown() || (seen === undefined && !isNews)) {
    see(id);
  } else if (!(id <= seen)) {
    unseen.push(id);
    show();
  }
}

// There is something to come back for.
export function talked() {
  if (!hasTalked) tell({ talked: true });
  hasTalked = true;
}

// Everything that is there is seen by now.
export function lookedAt() {
  if (isShown() && unseen.length > 0) see(Math.max(...unseen));
}

function see(id) {
  if (id <= seen) return;
  seen = id;
  keepSeen(id);
  forgetSeen();
}

function forgetSeen() {
  const before = unseen.length;
  unseen = unseen.filter((id) => id > seen);
  if (unseen.length !== before) show();
}

function show() {
  document.title = unseen.length > 0 ? `(${unseen.length}) ${title}` : title;
  tell({ unseen: unseen.length });
}

// Another tab was looked at.
onChange(() => {
  seen = readSeen() ?? seen;
  forgetSeen();
});
