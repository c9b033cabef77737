// Puts a chat on a site: a round button, and a window with the chat itself in a frame of its own origin. It is
// called with the settings of its channel. The site gets one element and one name.

(settings) => {
  const { channel, allowed, title, words } = settings;
  const server = document.currentScript ? new URL(document.currentScript.src).origin : settings.server;
  const site = location.origin;
  const isMeant = (pattern) => {
    const [scheme, below] = pattern.split("*");
    return below ? site.startsWith(scheme) && site.endsWith(below) : site === pattern;
  };
  if (!allowed.some(isMeant)) {
    console.warn(`nuncio: ${site} does not stand in allowedOrigins of the channel ${channel}`);
    return;
  }
  // An element with this id would answer to the name, too.
  if (!Object.hasOwn(window, "nuncio")) window.nuncio = {};
  const widgets = window.nuncio;
  if (Object.hasOwn(widgets, channel)) return;
  const index = Object.keys(widgets).length;
  const own = widgets[channel] = { open: () => open(true), close: () => close() };

  // The frame that never says that it is there.
  const FRAME_DEADLINE_MS = 12_000;
  const FRAME_ERROR_MS = 2_000;
  const TRY_AGAIN_MS = 10_000;
  // The last reminder comes after so many days.
  const TALKED_LATELY_MS = 30 * 86_400_000;

  // In the site's own storage; where there is none, until the next page. A draft, and whether the window is open,
  // belong to their tab.
  const prefix = `nuncio:${channel}:`;
  const memory = {};
  const storeOf = (key) => {
    try {
      return key === "open" || key === "kept:draft" ? sessionStorage : localStorage;
    } catch {
      return memory;
    }
  };
  const read = (key) => storeOf(key)[prefix + key];
  const keep = (key, value) => {
    try {
      if (value === null) delete storeOf(key)[prefix + key];
      else storeOf(key)[prefix + key] = value;
    } catch { /* It is full. */ }
  };
  // What the frame may not keep itself, by its own keys.
  const keptForFrame = () => {
    const keys = ["draft", "lasting"].flatMap((key) => Object.keys(storeOf(`kept:${key}`)));
    const start = `${prefix}kept:`;
    const own = keys.filter((key) => key.startsWith(start)).map((key) => key.slice(start.length));
    return Object.fromEntries(own.map((key) => [key, read(`kept:${key}`)]));
  };

  const make = (name, attributes, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const icon = (line) => {
    const [svg, path] = ["svg", "path"].map((name) => document.createElementNS("http://www.w3.org/2000/svg", name));
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", line);
    svg.append(path);
    return svg;
  };
  const cross = "m6 6 12 12M18 6 6 18";

  const host = document.createElement("nuncio-chat");
  const shadow = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(settings.css);
  shadow.adoptedStyleSheets = [sheet];
  const badge = make("span", { class: "badge", "aria-hidden": "true", hidden: "" });
  const button = make("button", { type: "button", class: "button", "aria-haspopup": "dialog", "aria-controls": "window" },
    icon("M4 5h16v11H10l-4 4v-4H4z"), icon("m6 9 6 6 6-6"), badge);
  const shut = make("button", { type: "button", class: "shut", "aria-label": words.close }, icon(cross));
  const retry = make("button", { type: "button", class: "retry" }, words.retry);
  const state = make("p", { role: "status" });
  const cover = make("div", { class: "cover" }, make("header", {}, make("b", { dir: "auto" }, title), shut), state, retry);
  const guards = [0, 1].map(() => make("i", { tabindex: "0", "aria-hidden": "true" }));
  const panel = make("section", { id: "window", role: "dialog", "aria-label": title }, guards[0], cover, guards[1]);
  const news = make("p", { class: "news", role: "status" });
  const root = make("div", { class: "root", lang: words.language, popover: "manual" }, button, panel, news);
  root.style.setProperty("--index", index);
  shadow.append(root);

  const phone = matchMedia("(max-width: 30rem), (max-height: 26rem)");
  let frame;
  let isReady = false;
  let isOpen = false;
  let unseen = 0;
  let timer;

  const tell = (message) => {
    frame.contentWindow.postMessage({ nuncio: channel, ...message }, server);
  };

  function load() {
    if (frame) return;
    const given = new URLSearchParams({ site, dir: root.dir });
    if (root.classList.contains("light")) given.set("light", "");
    frame = make("iframe", { title, src: `${server}${settings.frame}#${given}` });
    const own = frame;
    const give = (wait) => setTimeout(() => { if (frame === own && !isReady) fail(); }, wait);
    // Also a page of the browser that says what went wrong.
    frame.addEventListener("load", () => give(FRAME_ERROR_MS));
    give(FRAME_DEADLINE_MS);
    say(words.connecting);
    cover.after(frame);
  }

  function fail() {
    frame.remove();
    frame = undefined;
    say(words.failed, true);
    clearTimeout(timer);
    timer = setTimeout(() => { if (isOpen) load(); }, TRY_AGAIN_MS);
  }

  function say(sentence, isOver = false) {
    state.textContent = sentence;
    retry.hidden = !isOver;
  }

  function open(isAsked) {
    for (const other of Object.values(widgets)) if (other !== own) other.close();
    isOpen = true;
    keep("open", 1);
    load();
    render();
    if (isAsked) focus("text");
  }

  function close() {
    if (!isOpen) return;
    const hadFocus = document.activeElement === host;
    isOpen = false;
    keep("open", null);
    render();
    if (hadFocus) button.focus();
  }

  function focus(part) {
    if (isReady) {
      frame.focus();
      tell({ shown: isOpen, focus: part });
    } else {
      shut.focus();
    }
  }

  function render() {
    panel.inert = !isOpen;
    panel.setAttribute("aria-modal", phone.matches);
    root.classList.toggle("open", isOpen);
    root.classList.toggle("ready", isReady);
    cover.inert = isReady;
    badge.hidden = unseen === 0 || isOpen;
    badge.textContent = unseen > 9 ? "9+" : unseen;
    button.setAttribute("aria-expanded", isOpen);
    const told = badge.hidden ? "" : ` ${words.unread} ${unseen}`;
    button.setAttribute("aria-label", (isOpen ? words.close : words.open) + (told && `.${told}`));
    news.textContent = told;
    fit();
    if (isReady) tell({ shown: isOpen });
  }

  // The keyboard of a phone covers what is fixed to its screen.
  function fit() {
    const { height, offsetTop, scale } = window.visualViewport ?? {};
    const isCovered = isOpen && phone.matches && scale === 1;
    panel.style.height = isCovered ? `${height}px` : "";
    panel.style.top = isCovered ? `${offsetTop}px` : "";
  }

  // Tab stays within the open chat; Escape leaves it.
  root.addEventListener("keydown", (event) => {
    if (!isOpen) return;
    if (event.key === "Escape") close();
    else if (event.key !== "Tab" || event.target !== button) return;
    else focus(event.shiftKey ? "last" : "first");
    event.preventDefault();
    event.stopPropagation();
  });
  guards.forEach((guard, end) => guard.addEventListener("focus", () => {
    if (!phone.matches) button.focus();
    else focus(end ? "first" : "last");
  }));
  button.addEventListener("click", () => { if (isOpen) close(); else open(true); });
  shut.addEventListener("click", close);
  retry.addEventListener("click", () => { load(); shut.focus(); });
  phone.addEventListener("change", render);
  window.visualViewport?.addEventListener("resize", fit);
  window.visualViewport?.addEventListener("scroll", fit);
  addEventListener("online", () => { if (isOpen) load(); });
  addEventListener("message", ({ origin, source, data }) => {
    if (!frame || origin !== server || source !== frame.contentWindow || data?.nuncio !== channel) return;
    if (data.ready) {
      const hadFocus = shadow.activeElement === shut;
      isReady = true;
      render();
      if (isOpen && hadFocus) focus("text");
    }
    if ("unseen" in data) {
      unseen = data.unseen;
      render();
    }
    if (data.talked) keep("talked", Date.now());
    if (data.keep) {
      const news = Object.entries(data.keep);
      for (const [key, value] of news) keep(`kept:${key}`, value);
      if (news.length === 0) tell({ kept: keptForFrame() });
    }
    if (data.close) close();
  });
  // Another tab has kept something else.
  addEventListener("storage", ({ key, newValue }) => {
    const [own, start] = [key ?? "", `${prefix}kept:`];
    if (isReady && own.startsWith(start)) tell({ kept: { [own.slice(start.length)]: newValue } });
  });

  function begin() {
    const page = document.documentElement;
    root.dir = getComputedStyle(page).direction;
    const schemes = document.querySelector("meta[name=color-scheme]")?.content + getComputedStyle(page).colorScheme;
    root.classList.toggle("light", !schemes.includes("dark"));
    // Beside the body, so that no layout counts it, and above everything, whatever the site's styles say.
    page.append(host);
    root.showPopover?.();
    render();
    if (read("open")) open(false);
    else if (Date.now() - read("talked") < TALKED_LATELY_MS) (window.requestIdleCallback ?? setTimeout)(load);
  }
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin);
  else begin();
}
