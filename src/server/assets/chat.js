// The chat page. What is written is kept in this browser until the server has it, under an id of its own: it
// may be sent any number of times and is taken once. What was said comes as events, in the server's order.

import { beginOnSite } from "./around.js";
import { forgetUnsent, keepDraft, keepUnsent, lockName, newId, onChange, readDraft, readUnsent } from "./kept.js";
import { add, addEarlier, clear, element, firstId, isAtEnd, lastId, linked, toEnd, words } from "./said.js";
import { ask, listen, settle } from "./server.js";
import { arrived, lookedAt, talked } from "./unseen.js";

const { textMax, attended } = document.body.dataset;
const part = (id) => document.getElementById(id);
const [waiting, notice, typing, text, sendButton] = ["waiting", "notice", "typing", "text", "send"].map(part);

const POST_DEADLINE_MS = 20_000;
const BACKOFF_MAX_MS = 30_000;
// Three beats of the server.
const SILENCE_MAX_MS = 50_000;
// A tab that nobody looks at gives its connection back.
const HIDDEN_MAX_MS = 5 * 60_000;
// A restart of the server is over before anybody need know.
const LOSS_TOLD_AFTER_MS = 3000;
// Most messages are taken before anybody could read that they are being sent.
const SENDING_TOLD_AFTER_MS = 1500;

const backoff = (tries) => Math.min(BACKOFF_MAX_MS, 500 * 2 ** tries) * (0.75 + Math.random() / 2);

// ---- Messages that the server has not taken yet ----

// By id: {id, text, at, refused, isKept, row, below}.
const pending = new Map();

function queue(body) {
  // Two in one millisecond keep their order.
  const at = Math.max(Date.now(), 1 + Math.max(0, ...Array.from(pending.values(), (one) => one.at)));
  const one = { id: newId(), text: body, at };
  one.isKept = keepUnsent(one);
  pending.set(one.id, one);
  showPending();
}

function forget(id) {
  forgetUnsent(id);
  pending.get(id)?.row?.remove();
  pending.delete(id);
}

// Takes over what other tabs wrote, and drops what they got rid of.
function readPending() {
  const stored = readUnsent();
  if (stored === null) return;
  for (const one of stored) {
    if (!pending.has(one.id)) pending.set(one.id, { ...one, isKept: true });
  }
  const ids = new Set(stored.map(({ id }) => id));
  for (const { id, isKept } of pending.values()) {
    if (isKept && !ids.has(id)) forget(id);
  }
}

const inOrder = () => Array.from(pending.values()).sort((a, b) => a.at - b.at);

// ---- Sending: one message at a time, by one tab at a time ----

let flushing = false;
let flushAgain = false;
let tries = 0;
let retryTimer;
let isOnline = true;

async function flush() {
  clearTimeout(retryTimer);
  flushAgain = true;
  if (flushing) return;
  flushing = true;
  try {
    while (flushAgain) {
      flushAgain = false;
      let wait = 0;
      await alone(async () => { wait = await sendAll(); });
      if (wait > 0) {
        retryTimer = setTimeout(flush, wait);
        return;
      }
    }
  } finally {
    flushing = false;
    showPending();
  }
}

// Some browsers allow a frame no locks. Then two tabs may send the same at once, which the server takes once.
async function alone(send) {
  let hasBegun = false;
  const begin = () => { hasBegun = true; return send(); };
  try {
    await navigator.locks.request(lockName, begin);
  } catch (refused) {
    if (hasBegun) throw refused;
    await begin();
  }
}

// Sends what there is; gives after how long to try again, or 0.
async function sendAll() {
  for (;;) {
    readPending();
    const next = inOrder().find((one) => !one.refused);
    if (!next) return 0;
    let answer;
    try {
      answer = await ask("/messages", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ client_message_id: next.id, text: next.text }),
        signal: AbortSignal.timeout(POST_DEADLINE_MS),
      });
      if (answer.ok) {
        const { id, created_at, thread: of } = await answer.json();
        taken(next, id, created_at, of);
        tries = 0;
        continue;
      }
    } catch {
      lost();
      return backoff(tries++);
    }
    const after = Number(answer.headers.get("retry-after")) * 1000;
    if (answer.status === 429) {
      say("slow", words.slow_down);
      return after || backoff(tries++);
    }
    const { code } = await answer.json().catch(() => ({}));
    if (code === "nobody-here") {
      say("nobody", words.nobody);
      return after || BACKOFF_MAX_MS;
    }
    if (answer.status >= 500 || answer.status === 401 || answer.status === 408) {
      return Math.max(after, backoff(tries++));
    }
    next.refused = true;
    showPending();
  }
}

function taken(sent, id, createdAt, of) {
  say("slow");
  say("nobody");
  const { id: client, text: body } = sent;
  forget(client);
  if (thread !== undefined && of !== thread) return connect(true);
  add({ id, from: "visitor", text: body, created_at: createdAt });
}

function showPending() {
  const wasAtEnd = isAtEnd();
  for (const one of inOrder()) {
    if (!one.row) {
      one.row = element("div", "message visitor pending");
      const bubble = element("p", "bubble");
      bubble.append(...linked(one.text));
      one.below = element("p", "below");
      one.row.append(bubble, one.below);
    }
    // Moving a row that stands right already would take the focus from its buttons.
    if (one.row !== waiting.children[inOrder().indexOf(one)]) waiting.append(one.row);
    const state = one.refused ? "refused" : isOnline ? "sending" : "waits";
    if (one.below.dataset.state === state) continue;
    one.below.dataset.state = state;
    one.below.classList.toggle("wrong", one.refused === true);
    one.below.replaceChildren();
    if (state === "waits") one.below.textContent = words.waits;
    if (state === "sending") {
      setTimeout(() => {
        if (one.below.dataset.state === "sending") one.below.textContent = words.sending;
      }, SENDING_TOLD_AFTER_MS);
    }
    if (state === "refused") {
      const retry = element("button", "", words.retry);
      retry.addEventListener("click", () => { one.refused = false; showPending(); flush(); text.focus(); });
      const discard = element("button", "", words.discard);
      discard.addEventListener("click", () => { forget(one.id); text.focus(); });
      for (const button of [retry, discard]) button.type = "button";
      one.below.append(words.not_sent, retry, discard);
    }
  }
  // What is said below a message pushes the last one out of sight.
  if (wasAtEnd) toEnd();
}

// ---- Events ----

let stream;
let thread;
let isSettled = false;
let losses = 0;
let connectTimer;
let silenceTimer;
let lossTimer;
let hiddenTimer;

function connect(anew = false) {
  close();
  if (anew) {
    // Another visitor, as far as the server knows: what is shown is not theirs.
    thread = undefined;
    clear();
  }
  const isFirst = lastId() === undefined;
  const path = isFirst ? "/events" : `/events?after=${lastId()}`;
  const own = new AbortController();
  stream = own;
  listenForSilence();
  const take = (name, data) => {
    // What was on its way when another stream took over comes again in that one.
    if (stream !== own) return;
    listenForSilence();
    if (name === "hello") greet(data, isFirst);
    if (name === "message") show(data);
    if (name === "typing") showTyping(data.on);
  };
  listen(path, own.signal, take).catch(() => {}).then(() => { if (stream === own) lost(); });
}

function greet({ thread: of, is_kept, has_earlier }, isFirst) {
  settle(is_kept);
  if (thread !== undefined && of !== thread) return connect(true);
  thread = of;
  losses = 0;
  clearTimeout(lossTimer);
  isOnline = true;
  say("offline");
  if (isFirst) part("earlier").hidden = !has_earlier;
  // What was said before the page was opened is not read out.
  setTimeout(() => { isSettled = true; part("log").setAttribute("aria-live", "polite"); }, 500);
  tries = 0;
  flush();
}

function show(message) {
  if (message.client_message_id) forget(message.client_message_id);
  if (add(message)) arrived(message, isSettled);
}

function showTyping(isTyping) {
  const wasAtEnd = isAtEnd();
  typing.hidden = !isTyping;
  if (wasAtEnd) toEnd();
}

function listenForSilence() {
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(lost, SILENCE_MAX_MS);
}

function close() {
  stream?.abort();
  stream = undefined;
  typing.hidden = true;
  for (const timer of [connectTimer, silenceTimer]) clearTimeout(timer);
}

function lost() {
  close();
  connectTimer = setTimeout(connect, backoff(losses++));
  clearTimeout(lossTimer);
  const tell = () => { isOnline = false; say("offline", words.offline); showPending(); };
  if (losses > 2 || !navigator.onLine) tell();
  else lossTimer = setTimeout(tell, LOSS_TOLD_AFTER_MS);
}

// ---- The line above the input: the most important of what is to be said ----

const said = new Map(attended === "true" ? [] : [["nobody", words.nobody]]);

function say(topic, sentence) {
  if (sentence) said.set(topic, sentence);
  else said.delete(topic);
  const shown = said.get("offline") ?? said.get("nobody") ?? said.get("slow") ?? said.get("long") ?? "";
  if (notice.textContent !== shown) notice.textContent = shown;
  notice.hidden = shown === "";
}

// ---- Writing ----

function fit() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
  sendButton.setAttribute("aria-disabled", String(text.value.trim() === ""));
  say("long", text.value.length >= Number(textMax) ? words.too_long : undefined);
  keepDraft(text.value);
}

function submit() {
  const body = text.value.trim();
  if (body === "") return;
  queue(body);
  talked();
  text.value = "";
  fit();
  toEnd();
  flush();
}

part("write").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
  text.focus();
});
text.addEventListener("input", fit);
text.addEventListener("keydown", (event) => {
  // On a phone, Enter is a new line, and the button is near the thumb.
  const isTouch = matchMedia("(pointer: coarse)").matches;
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !isTouch) {
    event.preventDefault();
    submit();
  }
});
part("earlier").addEventListener("click", async () => {
  const first = firstId();
  const answer = await ask(`/messages?before=${first}`).catch(() => undefined);
  if (!answer?.ok || firstId() !== first) return;
  const { messages, has_earlier } = await answer.json();
  addEarlier(messages);
  part("earlier").hidden = !has_earlier;
});

// ---- The world around ----

onChange(() => { readPending(); showPending(); });
addEventListener("online", () => { losses = 0; tries = 0; connect(); });
addEventListener("offline", lost);
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(close, HIDDEN_MAX_MS);
    return;
  }
  lookedAt();
  if (!stream) connect();
});
// Phones whose keyboard covers the page instead of making it smaller.
visualViewport?.addEventListener("resize", () => {
  const isCovered = visualViewport.scale === 1 && visualViewport.height < innerHeight - 60;
  const root = document.documentElement.style;
  if (isCovered) root.setProperty("--height", `${visualViewport.height}px`);
  else root.removeProperty("--height");
  if (document.activeElement === text) toEnd();
});

part("log").setAttribute("aria-live", "off");
text.value = readDraft();
fit();
readPending();
showPending();
connect();
const focusText = () => {
  // On a phone, that would bring up the keyboard.
  if (matchMedia("(pointer: fine)").matches) text.focus();
};
beginOnSite((focus) => {
  lookedAt();
  toEnd();
  if (focus === "first") part("close").focus();
  if (focus === "last") sendButton.focus();
  if (focus === "text") {
    part("title").focus();
    focusText();
  }
});
// Within a site, it is not for us to take the focus.
if (!document.body.classList.contains("embedded")) focusText();
