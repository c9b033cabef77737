// What the page keeps in this browser. A browser may allow it no storage: then the site around keeps it, where
// there is one that does, and else a reload forgets, and nothing else.

import { askSite, tell } from "./around.js";

const prefix = `nuncio:${document.body.dataset.channel}:`;
const listeners = [];
const changed = () => listeners.forEach((take) => take());

// Another tab keeps something else from now on.
export const onChange = (take) => listeners.push(take);
addEventListener("storage", changed);

function storage(name) {
  try {
    const store = window[name];
    store.setItem(`${prefix}probe`, "");
    store.removeItem(`${prefix}probe`);
    return {
      get: (key) => store.getItem(prefix + key) ?? undefined,
      set: (key, value) => store.setItem(prefix + key, value),
      remove: (key) => store.removeItem(prefix + key),
      keys: () => Object.keys(store).flatMap((key) => key.startsWith(prefix) ? [key.slice(prefix.length)] : []),
    };
  } catch {
    return undefined;
  }
}

const own = storage("localStorage");
const around = own ? undefined : await askSite(changed);
const ofSite = around && {
  get: (key) => around.get(key),
  set: (key, value) => { around.set(key, value); tell({ keep: { [key]: value } }); },
  remove: (key) => { around.delete(key); tell({ keep: { [key]: null } }); },
  keys: () => Array.from(around.keys()),
};
const lasting = own ?? ofSite;
// A draft is its own tab's; the site knows that by the name of its key.
const ofThisTab = storage("sessionStorage") ?? ofSite;

function keep(store, key, value) {
  try {
    if (value === undefined) store.remove(key);
    else store.set(key, value);
    return true;
  } catch {
    return false;
  }
}

// The same for all tabs of this chat.
export const lockName = `${prefix}send`;

// Which of our messages were looked at, in whichever tab; undefined where nobody knows.
export const keepSeen = (id) => keep(lasting, "seen", String(id));
export const readSeen = () => Number(lasting?.get("seen")) || undefined;

// Who the visitor is, where the browser takes the cookies of a frame away.
export const keepPass = (pass) => keep(lasting, "pass", pass);
export const readPass = () => lasting?.get("pass")?.match(/^[\w.-]+$/)?.[0];

export const keepDraft = (text) => keep(ofThisTab, "draft", text === "" ? undefined : text);
export const readDraft = () => ofThisTab?.get("draft") ?? "";

// Each message has an entry of its own, so that tabs cannot overwrite each other's.
export const keepUnsent = ({ id, text, at }) => keep(lasting, `unsent:${id}`, JSON.stringify({ id, text, at }));
export const forgetUnsent = (id) => keep(lasting, `unsent:${id}`);

// Null where nothing can be kept.
export function readUnsent() {
  if (!lasting) return null;
  return lasting.keys().filter((key) => key.startsWith("unsent:")).flatMap((key) => {
    try {
      const { id, text, at } = JSON.parse(lasting.get(key));
      return typeof id === "string" && typeof text === "string" ? [{ id, text, at: Number(at) || 0 }] : [];
    } catch {
      return [];
    }
  });
}

// A page on plain HTTP has no `crypto.randomUUID`.
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
