// Started by embedding_browser.rs with the address of the chat and the port of the site.

import assert from "node:assert/strict";
import {
  PATIENCE, PHONE, browser, given, isAnswered, isForEverybody, look, open, perform, problems, shows,
} from "./driver.mjs";

const [chat, port] = given;
const shop = `http://shop.localhost:${port}`;

const frameOf = (page) => page.frameLocator("nuncio-chat iframe");
const button = (page) => page.locator("nuncio-chat .button");
const panel = (page) => page.locator("nuncio-chat section");
const isOpen = async (page) => (await button(page).getAttribute("aria-expanded")) === "true";
const openChat = async (page) => {
  await button(page).click();
  await frameOf(page).getByRole("textbox").waitFor(PATIENCE);
};
// What has the focus, in the page or in the frame.
const focused = async (page) => {
  const inPage = await page.evaluate(() => {
    const deepest = (root) => root.activeElement?.shadowRoot ? deepest(root.activeElement.shadowRoot) : root.activeElement;
    return deepest(document)?.className || deepest(document)?.localName;
  });
  if (inPage !== "iframe") return inPage;
  return frameOf(page).locator("body").evaluate(() => document.activeElement.id);
};
const focusIs = async (page, wanted) => {
  const until = Date.now() + PATIENCE.timeout;
  while (await focused(page) !== wanted) {
    assert.ok(Date.now() < until, `${wanted} has not the focus, but ${await focused(page)}`);
    await page.waitForTimeout(30);
  }
};
const isSettledIn = (page, box) => page.waitForFunction((wanted) => {
  const { x, y, width, height } = document.querySelector("nuncio-chat").shadowRoot.querySelector(wanted.of).getBoundingClientRect();
  return [x, y, width, height].every((value, index) => Math.abs(value - wanted.box[index]) < 1);
}, box, PATIENCE);

async function keyboardAlone(context) {
  const page = await open(context, `${shop}/`);
  await button(page).waitFor(PATIENCE);
  // After everything of the site.
  await page.getByRole("link", { name: "Other" }).focus();
  await page.keyboard.press("Tab");
  await focusIs(page, "button");
  assert.equal(await button(page).getAttribute("aria-label"), "Open the chat");
  assert.equal(await button(page).getAttribute("aria-haspopup"), "dialog");
  assert.equal(await isOpen(page), false);
  await isForEverybody(page.mainFrame());
  await page.keyboard.press("Enter");
  await focusIs(page, "text");
  assert.equal(await isOpen(page), true);
  assert.equal(await button(page).getAttribute("aria-label"), "Close the chat");
  assert.equal(await panel(page).getAttribute("role"), "dialog");
  assert.equal(await panel(page).getAttribute("aria-label"), "Shop");
  await page.keyboard.type("By keyboard");
  await page.keyboard.press("Enter");
  await shows(frameOf(page), "By keyboard");
  await isAnswered(frameOf(page));
  // Around, both ways, and never out of it.
  for (const next of ["send", "button", "close", "scroll", "text", "send"]) {
    await page.keyboard.press("Tab");
    await focusIs(page, next);
  }
  for (const before of ["text", "scroll", "close", "button", "send"]) {
    await page.keyboard.press("Shift+Tab");
    await focusIs(page, before);
  }
  await page.keyboard.press("Escape");
  await focusIs(page, "button");
  assert.equal(await isOpen(page), false);
  // Closed, it is out of the way.
  await page.keyboard.press("Shift+Tab");
  await focusIs(page, "a");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  await focusIs(page, "text");
  await frameOf(page).getByRole("button", { name: "Close the chat" }).press("Enter");
  await focusIs(page, "button");
  // The site can do it, too.
  await page.evaluate(() => window.nuncio.button.open());
  await focusIs(page, "text");
  await look(page, "open");
  await isForEverybody(page.mainFrame());
  await isForEverybody(page.frames()[1]);
  await page.evaluate(() => window.nuncio.button.close());
  await focusIs(page, "button");
  await page.close();
}

async function keepsToItself(context) {
  const measure = (page) => page.evaluate(() => {
    const rects = Array.from(document.querySelectorAll("body, h1, p, div"), (e) => JSON.stringify(e.getBoundingClientRect()));
    const { scrollWidth, scrollHeight } = document.documentElement;
    return { rects, scrollWidth, scrollHeight, names: Object.keys(window), body: document.body.childElementCount };
  });
  const bare = await open(context, `${shop}/bare`);
  const without = await measure(bare);
  const page = await open(context, `${shop}/`);
  await openChat(page);
  const within = await measure(page);
  assert.deepEqual(within.names.filter((name) => !without.names.includes(name)), ["nuncio"]);
  assert.deepEqual([within.rects, within.scrollWidth, within.scrollHeight], [without.rects, without.scrollWidth, without.scrollHeight]);
  // The page's own script tag is all that the body has more.
  assert.equal(within.body, without.body + 1);
  // Nobody but the frame is listened to, and nobody but the site by the frame.
  await page.evaluate(() => {
    for (const data of [{ nuncio: "button", close: true }, { nuncio: "button", keep: { pass: "x" } }, null, "x"]) postMessage(data, "*");
  });
  const other = page.frames().find((frame) => frame.url().includes("/embed/button"));
  await other.evaluate(() => postMessage({ nuncio: "button", shown: false, focus: "first" }, "*"));
  await page.waitForTimeout(200);
  assert.equal(await isOpen(page), true);
  assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.endsWith("kept:pass")).length), 0);
  assert.notEqual(await focused(page), "close");
  for (const one of [bare, page]) await one.close();
}

async function looksTheSameEverywhere(context) {
  const at = { of: ".button", box: [1024 - 76, 768 - 76, 56, 56] };
  for (const path of ["/", "/hostile", "/strict"]) {
    const page = await open(context, shop + path);
    await isSettledIn(page, at);
    const style = await button(page).evaluate((element) => {
      const { backgroundColor, opacity, transform } = getComputedStyle(element);
      return [backgroundColor, opacity, transform];
    });
    assert.deepEqual(style, ["rgb(0, 128, 128)", "1", "none"], path);
    await look(page, `closed${path.replace("/", "-")}`);
    // By the mouse: what lies above it would take the click.
    await page.mouse.click(1024 - 48, 768 - 48);
    await frameOf(page).getByRole("textbox").waitFor(PATIENCE);
    await isSettledIn(page, { of: "section", box: [1024 - 404, 768 - 92 - 640, 384, 640] });
    await look(page, `open${path.replace("/", "-")}`);
    await page.close();
  }
  const rtl = await open(context, `${shop}/rtl`);
  await isSettledIn(rtl, { of: ".button", box: [20, 768 - 76, 56, 56] });
  await openChat(rtl);
  assert.equal(await frameOf(rtl).locator("html").getAttribute("dir"), "rtl");
  await look(rtl, "rtl");
  await rtl.close();
}

// Whichever script comes first: their order is the network's.
async function twoAreGoodNeighbours(context, late) {
  const page = await context.newPage();
  await page.route(`**/widget/${late}.js`, async (route) => {
    await page.locator("nuncio-chat").waitFor({ ...PATIENCE, state: "attached" });
    await route.fallback();
  });
  await page.goto(`${shop}/two`);
  const of = (title) => page.locator("nuncio-chat", { has: page.locator(`section[aria-label=${title}]`) });
  const [one, other] = [of("Shop"), of("Help")];
  for (const widget of [one, other]) await widget.locator(".button").waitFor(PATIENCE);
  assert.equal(await page.locator("nuncio-chat").count(), 2);
  const [left, right] = await Promise.all([one, other].map((widget) => widget.locator(".button").boundingBox()));
  assert.ok(Math.abs(left.x - right.x) >= 64, `${left.x} ${right.x}`);
  for (const widget of [one, other]) {
    await widget.locator(".button").click();
    await widget.locator("iframe").waitFor(PATIENCE);
  }
  const expanded = await Promise.all([one, other].map((widget) => widget.locator(".button").getAttribute("aria-expanded")));
  assert.deepEqual(expanded, ["false", "true"]);
  await look(page, "two");
  // One's frame says nothing for the other's.
  await other.frameLocator("iframe").getByRole("textbox").waitFor(PATIENCE);
  const foreign = page.frames().find((frame) => frame.url().includes("/embed/second"));
  await foreign.evaluate(() => {
    parent.postMessage({ nuncio: "button", unseen: 7 }, "*");
    parent.postMessage({ nuncio: "second", unseen: 7, close: true }, "*");
  });
  await other.locator(".badge").getByText("7").waitFor(PATIENCE);
  assert.equal(await one.locator(".badge").isVisible(), false);
  await page.close();
}

async function fillsAPhone() {
  const page = await open(await browser({ ...PHONE, reducedMotion: "reduce" }), `${shop}/`);
  await look(page, "phone-closed");
  await button(page).tap();
  await frameOf(page).getByRole("textbox").waitFor(PATIENCE);
  await isSettledIn(page, { of: "section", box: [0, 0, 390, 844] });
  assert.equal(await panel(page).getAttribute("aria-modal"), "true");
  assert.equal(await panel(page).evaluate((element) => getComputedStyle(element).transitionDuration), "0s");
  assert.equal(await button(page).isVisible(), false);
  // Not the text: that would bring up the keyboard.
  await frameOf(page).getByRole("textbox").fill("From a phone");
  await frameOf(page).getByRole("button", { name: "Send" }).tap();
  await isAnswered(frameOf(page));
  await look(page, "phone-open");
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), PHONE.viewport.width);
  await frameOf(page).getByRole("button", { name: "Close the chat" }).tap();
  await button(page).waitFor(PATIENCE);
}

async function aPlainFrameIsAChat(context) {
  const page = await open(context, `${shop}/frame`);
  const frame = page.frameLocator("iframe");
  await frame.getByRole("textbox").fill("In a frame");
  assert.equal(await page.evaluate(() => document.activeElement.localName), "iframe");
  await frame.getByRole("textbox").press("Enter");
  await isAnswered(frame);
  await look(page, "frame");
  await page.reload();
  await shows(frame, "In a frame");
  assert.equal(await page.evaluate(() => document.activeElement.localName), "body");
  await page.close();
}

// Sites that stand in no list: of another name, of another port's name, of the chat's own host.
async function elsewhereThereIsNothing(context) {
  for (const host of ["localhost", "evil.localhost", "127.0.0.1", "shop.localhost.evil.localhost"]) {
    const page = await context.newPage();
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    const warned = page.waitForEvent("console", { predicate: (message) => message.type() === "warning", ...PATIENCE });
    await page.goto(`http://${host}:${port}/`);
    assert.match((await warned).text(), /does not stand in allowedOrigins of the channel button/);
    assert.equal(await page.locator("nuncio-chat").count(), 0);
    assert.equal(await page.evaluate(() => "nuncio" in window), false);
    assert.deepEqual(asked.filter((url) => url.includes("/embed/")), []);
    await page.goto(`http://${host}:${port}/framed`);
    for (const frame of page.frames().slice(1)) assert.equal(await frame.locator("[data-channel]").count(), 0, host);
    await page.close();
  }
  // An allowed site may show what is made for it, and not the page of its own.
  const page = await context.newPage();
  await page.goto(`${shop}/framed`);
  const shown = await Promise.all([0, 1, 2].map((index) => page.frameLocator("iframe").nth(index).locator("[data-channel]").count()));
  assert.deepEqual(shown, [1, 1, 0]);
  await page.goto(`${chat}/embed/button`);
  await page.getByText("This chat is part of a site").waitFor(PATIENCE);
  assert.equal(await page.locator("[data-channel]").count(), 0);
  await page.close();
}

// `https://*.shop.example` is what the server takes it for, and browsers in `frame-ancestors`.
async function allBelowADomainAreMeant(context) {
  const script = await (await fetch(`${chat}/widget/second.js`)).text();
  await context.route(/^https:/, (route) => {
    const isScript = route.request().url() === "https://chat.example/widget/second.js";
    const page = "<!doctype html><script src='https://chat.example/widget/second.js'></script><p>Shop</p>";
    return route.fulfill(isScript ? { body: script, contentType: "text/javascript" } : { body: page, contentType: "text/html" });
  });
  const page = await context.newPage();
  for (const [site, isMeant] of [
    ["https://www.shop.example", true],
    ["https://a.b.shop.example", true],
    ["https://shop.example", false],
    ["https://evilshop.example", false],
    ["https://www.shop.example:8443", false],
    ["https://www.shop.example.evil.example", false],
  ]) {
    await page.goto(site);
    assert.equal(await page.locator("nuncio-chat").count(), isMeant ? 1 : 0, site);
  }
  await page.close();
}

// The chat is away when the window is opened: it says so, can be closed, and is there when it is back.
async function waitsForTheChat(context) {
  const page = await open(context, `${shop}/`);
  await button(page).waitFor(PATIENCE);
  await context.route("**/embed/**", (route) => route.abort());
  await button(page).click();
  await focusIs(page, "shut");
  await page.getByText("The chat cannot be reached at the moment.").waitFor(PATIENCE);
  await look(page, "away");
  await context.unroute("**/embed/**");
  await page.locator("nuncio-chat").getByRole("button", { name: "Try again" }).click();
  await frameOf(page).getByRole("textbox").waitFor(PATIENCE);
  await focusIs(page, "text");
  await page.close();
}

await perform(async () => {
  const context = await browser();
  await keyboardAlone(context);
  await keepsToItself(context);
  await looksTheSameEverywhere(context);
  for (const late of ["second", "button"]) await twoAreGoodNeighbours(context, late);
  await fillsAPhone();
  await aPlainFrameIsAChat(context);
  await waitsForTheChat(await browser());
  assert.deepEqual(problems, []);
  await elsewhereThereIsNothing(context);
  await allBelowADomainAreMeant(await browser());
});
