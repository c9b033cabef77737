// The site around the chat, where a widget has put it there: it says that the chat is shown, is told what a closed
// window has to say, and keeps for the frame what the browser does not let it keep. Each checks who speaks, and
// names to whom it speaks.

const given = new URLSearchParams(location.hash.slice(1));
const named = given.get("site") ?? "";
const site = window !== parent && URL.canParse(named) && new URL(named).origin === named ? named : undefined;
const { channel } = document.body.dataset;
// A busy site answers late. Without its answer the visitor would be a stranger, and their unsent words not there:
// only a site that knows of no frames is not waited for any longer.
const SITE_DEADLINE_MS = 10_000;

if (given.get("dir") === "rtl") document.documentElement.dir = "rtl";
if (given.has("light")) document.documentElement.classList.add("light");

let isOpen = !site;
export const isShown = () => isOpen && !document.hidden;

export function tell(message) {
  if (site) parent.postMessage({ nuncio: channel, ...message }, site);
}

function hear(take) {
  addEventListener("message", ({ origin, source, data }) => {
    if (site && origin === site && source === parent && data?.nuncio === channel) take(data);
  });
}

// What the site keeps for us, by key; undefined where there is no site that would. It goes on to tell what
// changes in other tabs.
export function askSite(changed) {
  if (!site) return undefined;
  const kept = new Map();
  return new Promise((resolve) => {
    hear((data) => {
      if (!data.kept) return;
      for (const [key, value] of Object.entries(data.kept)) {
        if (typeof value === "string") kept.set(key, value);
        else kept.delete(key);
      }
      resolve(kept);
      changed();
    });
    tell({ keep: {} });
    setTimeout(resolve, SITE_DEADLINE_MS);
  });
}

// Calls back when the site says whether the chat is shown, and which part of it is to have the focus.
export function beginOnSite(take) {
  if (!site) return;
  hear((data) => {
    if (!("shown" in data)) return;
    isOpen = data.shown;
    take(data.focus);
  });
  document.getElementById("close")?.addEventListener("click", () => tell({ close: true }));
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing) tell({ close: true });
  });
  tell({ ready: true });
}
