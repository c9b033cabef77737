// Started by embedding_browser.rs with the address of the chat and the port of the site.

import assert from "node:assert/strict";
import {
  OFFLINE_MS, PATIENCE, browser, given, isAnswered, isSettled, look, open, perform, shows, texts, watchTyping,
} from "./driver.mjs";

const [chat, port] = given;
const shop = `http://shop.localhost:${port}`;

const frameOf = (page) => page.frameLocator("nuncio-chat iframe");
const button = (page) => page.locator("nuncio-chat .button");
const openChat = async (page) => {
  await button(page).click();
  await frameOf(page).getByRole("textbox").waitFor(PATIENCE);
};
const write = async (page, text) => {
  const input = frameOf(page).getByRole("textbox", { name: "Your message" });
  await input.fill(text);
  await input.press("Enter");
};
const sent = (page, text) => shows(frameOf(page), text).then(() => isSettled(frameOf(page)));
// The chat may keep nothing at all, not even a cookie.
const NOTHING = { content_settings: { exceptions: { cookies: { [`${chat},*`]: { setting: 2 } } } } };
const isPost = (route) => route.request().method() === "POST";

// One visitor's whole visit, in a browser that denies frames what `preferences` say.
async function visit(name, preferences) {
  const context = await browser({}, preferences);
  const asked = [];
  context.on("request", (request) => asked.push(request.url()));

  // Nothing but the script, until somebody wants to talk.
  const first = await open(context, `${shop}/`);
  await button(first).waitFor(PATIENCE);
  const ofChat = () => asked.filter((url) => url.startsWith(chat));
  assert.deepEqual(ofChat(), [`${chat}/widget/button.js`]);
  await openChat(first);
  const frame = frameOf(first);
  const showsTyping = await watchTyping(frame);
  await write(first, "Hello");
  await showsTyping();
  await isAnswered(frame);
  assert.match((await texts(frame))[1], /What matters most to you/);

  // Text is text.
  const script = `<img src=x onerror="document.title = 1">`;
  await write(first, script);
  await shows(frame, script);
  assert.equal(await frame.locator("#log img").count(), 0);
  await isAnswered(frame);

  // Another tab, another page: the chat is closed there, and is the same.
  const second = await open(context, `${shop}/other`);
  assert.equal(await button(second).getAttribute("aria-expanded"), "false");
  await openChat(second);
  await frameOf(second).getByText(/What matters most to you/).waitFor(PATIENCE);
  await write(second, "From the other tab");
  await shows(frame, "From the other tab");
  for (const page of [first, second]) await isAnswered(frameOf(page));
  assert.deepEqual(await texts(frame), await texts(frameOf(second)));

  // A reload, and a way to another page: the window is open as it was, and what was being written is there.
  const kept = await texts(frame);
  await frame.getByRole("textbox").fill("A draft");
  await first.reload();
  await isAnswered(frame);
  assert.deepEqual(await texts(frame), kept);
  assert.equal(await frame.getByRole("textbox").inputValue(), "A draft");
  await first.getByRole("link", { name: "Other" }).click();
  await shows(frame, "From the other tab");
  assert.equal(await frame.getByRole("textbox").inputValue(), "A draft");

  // The server does not get it, and the page is left: it is sent from the next one.
  await context.route("**/messages", (route) => (isPost(route) ? route.abort() : route.fallback()));
  await write(first, "Kept over a reload");
  await frame.locator(".pending").getByText("Kept over a reload").waitFor(PATIENCE);
  await first.goto(`${shop}/bare`);
  await first.goto(`${shop}/`);
  await frame.locator(".pending").getByText("Kept over a reload").waitFor(PATIENCE);
  await context.unroute("**/messages");
  for (const page of [first, second]) await sent(page, "Kept over a reload");
  await isAnswered(frame);

  // Ten seconds without a connection.
  await context.setOffline(true);
  const wentAt = Date.now();
  for (const text of ["Offline 1", "Offline 2"]) await write(first, text);
  await write(second, "Offline 3");
  for (const page of [first, second]) await frameOf(page).getByText("No connection.").waitFor(PATIENCE);
  if (name === "denied") await look(first, "offline");
  await first.waitForTimeout(Math.max(0, OFFLINE_MS - (Date.now() - wentAt)));
  await context.setOffline(false);
  for (const page of [first, second]) {
    for (const text of ["Offline 1", "Offline 2", "Offline 3"]) await sent(page, text);
    await isAnswered(frameOf(page));
  }

  // The server has it, and its answer is lost: it is sent again, and there once.
  let losses = 0;
  await context.route("**/messages", async (route) => {
    if (!isPost(route) || losses === 2) return route.fallback();
    losses += 1;
    await route.fetch();
    await route.abort();
  });
  await write(first, "After a lost answer");
  for (const page of [first, second]) await sent(page, "After a lost answer");
  await context.unroute("**/messages");
  assert.ok(losses > 0);
  await isAnswered(frame);

  // What comes while the window is closed is counted on the button, there and on the next page.
  await button(second).click();
  await write(first, "While it is closed");
  await first.keyboard.press("Escape");
  for (const page of [first, second]) {
    await page.locator("nuncio-chat .badge").getByText("1", { exact: true }).waitFor(PATIENCE);
    assert.match(await button(page).getAttribute("aria-label"), /New messages: 1$/);
  }
  if (name === "denied") await look(first, "unread");
  await second.reload();
  await second.locator("nuncio-chat .badge").getByText("1", { exact: true }).waitFor(PATIENCE);
  await openChat(second);
  for (const page of [first, second]) {
    await page.waitForFunction(() => document.querySelector("nuncio-chat").shadowRoot.querySelector(".badge").hidden, null, PATIENCE);
  }
  await openChat(first);
  await isAnswered(frame);
  await isAnswered(frameOf(second));
  assert.deepEqual(await texts(frame), await texts(frameOf(second)));
  const own = await frame.locator("#log .message.visitor .bubble").allTextContents();
  assert.equal(new Set(own).size, own.length, own.join("\n"));

  // Who somebody is stands in no address.
  assert.deepEqual(asked.filter((url) => /[?&][^#]*\.[\w-]{43}/.test(url)), []);
  return { context, all: await texts(frame) };
}

// The site keeps everything for its frame, and is too busy with its own to answer: the frame waits for it.
async function visitABusySite() {
  const context = await browser({}, NOTHING);
  const page = await open(context, `${shop}/`);
  await openChat(page);
  await context.route("**/messages", (route) => (isPost(route) ? route.abort() : route.fallback()));
  await write(page, "On a busy site");
  await frameOf(page).locator(".pending").getByText("On a busy site").waitFor(PATIENCE);
  await page.goto(`${shop}/busy`);
  await frameOf(page).locator(".pending").getByText("On a busy site").waitFor(PATIENCE);
  await context.close();
}

await perform(async () => {
  const [denied] = await Promise.all([
    // As it comes: frames of others keep nothing, but a cookie of their own for each site around them.
    visit("denied", { block_third_party_cookies: true, cookie_controls_mode: 1 }),
    // Frames of others keep everything, apart for each site around them.
    visit("allowed", { block_third_party_cookies: false, cookie_controls_mode: 0 }),
    visit("nothing", NOTHING),
    visitABusySite(),
  ]);

  // Somebody else sees nothing of it.
  const stranger = await open(await browser(), `${shop}/`);
  await openChat(stranger);
  await write(stranger, "A stranger");
  await isAnswered(frameOf(stranger));
  assert.equal((await texts(frameOf(stranger))).length, 2);
  assert.deepEqual(await texts(frameOf(denied.context.pages()[1])), denied.all);
});
