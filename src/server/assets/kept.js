// What the page keeps in this browser. Some browsers allow a page no storage: then a reload forgets, and
// nothing else.

const prefix = `nuncio:${document.body.dataset.channel}:`;
const lasting = () => localStorage;
const ofThisTab = () => sessionStorage;

function keep(store, key, value) {
  try {
    if (value === undefined) store().removeItem(prefix + key);
    else store().setItem(prefix + key, value);
    return true;
  } catch {
    return false;
  }
}

function kept(store) {
  try {
    const all = store();
    const keys = Object.keys(all).filter((key) => key.startsWith(prefix));
    return keys.map((key) => [key.slice(prefix.length), all.getItem(key)]);
  } catch {
    return null;
  }
}

// The same for all tabs of this chat.
export const lockName = `${prefix}send`;

export const keepDraft = (text) => keep(ofThisTab, "draft", text === "" ? undefined : text);
export const readDraft = () => (kept(ofThisTab) ?? []).find(([key]) => key === "draft")?.[1] ?? "";

// Each message has an entry of its own, so that tabs cannot overwrite each other's.
export const keepUnsent = ({ id, text, at }) => keep(lasting, `unsent:${id}`, JSON.stringify({ id, text, at }));
export const forgetUnsent = (id) => keep(lasting, `unsent:${id}`);

// Null where there is no storage.
export function readUnsent() {
  const entries = kept(lasting);
  return entries && entries.filter(([key]) => key.startsWith("unsent:")).flatMap(([, value]) => {
    try {
      const { id, text, at } = JSON.parse(value);
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
