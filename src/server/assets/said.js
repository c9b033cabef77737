// What was said, in the server's order, with its days and times.

export const words = JSON.parse(document.body.dataset.words);

const part = (id) => document.getElementById(id);
const [log, scroll, newer] = ["log", "scroll", "newer"].map(part);
const clock = new Intl.DateTimeFormat(words.language, { hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat(words.language, { day: "numeric", month: "long" });
// Messages of one side within it stand together, under one time.
const GROUP_MS = 5 * 60_000;

// By id: {id, from, at, row, day}.
const messages = new Map();
let ids = [];

export const firstId = () => ids[0];
export const lastId = () => ids.at(-1);

export function element(name, className, content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

// Everything stays text; what looks like an address of the web becomes a link to it.
export function linked(body) {
  return body.split(/(https?:\/\/[^\s<>"']+)/g).map((piece, index) => {
    if (index % 2 === 0) return document.createTextNode(piece);
    const [, address, rest] = piece.match(/^(.*?)([.,:;!?)\]}]*)$/s);
    if (!URL.canParse(address)) return document.createTextNode(piece);
    const link = element("a", "", address);
    link.href = address;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow ugc";
    const both = document.createDocumentFragment();
    both.append(link, rest);
    return both;
  });
}

export const isAtEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;

export function toEnd() {
  scroll.scrollTop = scroll.scrollHeight;
  newer.hidden = true;
}

// Shows a message once. Says whether it is new and the last.
export function add({ id, from, text, created_at }) {
  if (messages.has(id)) return false;
  const wasAtEnd = isAtEnd();
  const row = element("div", `message ${from === "visitor" ? "visitor" : "us"}`);
  const bubble = element("p", "bubble");
  bubble.dir = "auto";
  bubble.append(...linked(text));
  // Whose words they are is seen by their side; who cannot see hears it.
  if (from === "visitor") row.append(element("span", "hidden", `${words.you}: `));
  row.append(bubble);
  messages.set(id, { id, from, at: new Date(created_at), row });
  const index = ids.findIndex((other) => other > id);
  const isLast = index < 0;
  const next = isLast ? undefined : messages.get(ids[index]);
  log.insertBefore(row, next ? (next.day ?? next.row) : null);
  ids.splice(isLast ? ids.length : index, 0, id);
  arrangeSoon();
  if (isLast && (wasAtEnd || from === "visitor")) toEnd();
  else if (isLast) newer.hidden = false;
  return isLast;
}

// Messages of before the first, without moving what is being read.
export function addEarlier(older) {
  const fromEnd = scroll.scrollHeight - scroll.scrollTop;
  older.forEach(add);
  queueMicrotask(() => { scroll.scrollTop = scroll.scrollHeight - fromEnd; });
}

export function clear() {
  for (const { row, day } of messages.values()) {
    row.remove();
    day?.remove();
  }
  messages.clear();
  ids = [];
}

let arranging = false;

// Days, groups and times: once for all that came together.
function arrangeSoon() {
  if (arranging) return;
  arranging = true;
  queueMicrotask(() => {
    arranging = false;
    const wasAtEnd = isAtEnd();
    arrange();
    if (wasAtEnd) toEnd();
  });
}

function arrange() {
  let before;
  for (const one of ids.map((id) => messages.get(id))) {
    const isNewDay = before?.at.toDateString() !== one.at.toDateString();
    if (isNewDay && !one.day) {
      one.day = element("p", "day", dayOf(one.at));
      log.insertBefore(one.day, one.row);
    } else if (!isNewDay && one.day) {
      one.day.remove();
      one.day = undefined;
    }
    const isAgain = !isNewDay && before.from === one.from && one.at - before.at < GROUP_MS;
    one.row.classList.toggle("again", isAgain);
    if (isAgain) before.row.querySelector(".below")?.remove();
    if (!one.row.querySelector(".below")) {
      const below = element("p", "below");
      const time = element("time", "", clock.format(one.at));
      time.dateTime = one.at.toISOString();
      // As its language writes it, also among others.
      time.dir = "ltr";
      below.append(time);
      one.row.append(below);
    }
    before = one;
  }
}

function dayOf(at) {
  const midnight = (when) => new Date(when).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(Date.now()) - midnight(at)) / 86_400_000);
  return days === 0 ? words.today : days === 1 ? words.yesterday : date.format(at);
}

newer.addEventListener("click", () => {
  toEnd();
  part("text").focus();
});
scroll.addEventListener("scroll", () => { if (isAtEnd()) newer.hidden = true; }, { passive: true });
