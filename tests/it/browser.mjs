// Started by browser.rs with the address of the page.

import assert from "node:assert/strict";
import {
  OFFLINE_MS, PATIENCE, PHONE, browser, given, isAnswered, isForEverybody, isSettled, look, open as openPage, perform, say, shows, texts, watchTyping,
} from "./driver.mjs";

const [address] = given;
const open = (context) => openPage(context, address);
const write = async (page, text) => {
  const input = page.getByRole("textbox", { name: "Your message" });
  await input.fill(text);
  await input.press("Enter");
};
// On a phone, Enter is a new line.
const tap = async (page, text) => {
  await page.getByRole("textbox", { name: "Your message" }).fill(text);
  await page.getByRole("button", { name: "Send" }).tap();
};
const answerCount = (page) => page.locator("#log .message.us:not(.greeting)").count();
const ownTexts = (page) => page.locator("#log .message.visitor .bubble").allTextContents();

await perform(async () => {
  const context = await browser();
  const first = await open(context);
  const showsTyping = await watchTyping(first);
  await write(first, "Hello");
  await shows(first, "Hello");
  await showsTyping();
  await look(first, "typing");
  await isAnswered(first);
  const answer = (await texts(first))[1];
  assert.match(answer, /^I am a virtual assistant\.\s/);
  assert.match(answer, /What matters most to you/);

  // Text is text.
  const script = "<script>document.title = 'taken over'</script>";
  await write(first, script);
  await shows(first, script);
  assert.equal(await first.title(), "Example & Sons");
  assert.equal(await first.locator("#log script").count(), 0);
  await isAnswered(first);

  // Two tabs show the same chat.
  const second = await open(context);
  await second.getByText(/What matters most to you/).waitFor(PATIENCE);
  await write(second, "From the other tab");
  await shows(first, "From the other tab");
  for (const page of [first, second]) await isAnswered(page);
  assert.deepEqual(await texts(first), await texts(second));

  // A reload keeps it, and what was being written.
  const kept = await texts(first);
  await first.getByRole("textbox").fill("A draft");
  await first.reload();
  await isAnswered(first);
  assert.deepEqual(await texts(first), kept);
  assert.equal(await first.getByRole("textbox").inputValue(), "A draft");

  // Without a connection nothing is lost: neither what the AI answers meanwhile nor what is written; not even by a
  // reload of the other tab, once it is back.
  const answersBefore = await answerCount(first);
  await write(first, "How long does it take?");
  await shows(second, "How long does it take?");
  await isSettled(first);
  await context.setOffline(true);
  const before = await texts(first);
  const wentAt = Date.now();
  for (const text of ["Offline 1", "Offline 2"]) await write(first, text);
  await write(second, "Offline 3");
  await first.getByText("No connection.").waitFor(PATIENCE);
  for (const page of [first, second]) await page.getByText("Waits for the connection").nth(2).waitFor(PATIENCE);
  // Who read the end of it still does, also what another tab wrote.
  const below = (page) => page.locator("#scroll").evaluate((s) => s.scrollHeight - s.scrollTop - s.clientHeight);
  assert.ok(await below(first) < 2, `${await below(first)}`);
  await look(first, "offline");
  await first.waitForTimeout(Math.max(0, OFFLINE_MS - (Date.now() - wentAt)));
  assert.deepEqual(await texts(first), before);
  await context.setOffline(false);
  await second.reload();
  for (const page of [first, second]) {
    await shows(page, "Offline 3");
    await isSettled(page);
    await isAnswered(page);
    // One that was missed, and one to what was written since.
    assert.ok(await answerCount(page) >= answersBefore + 2);
  }
  assert.equal(await first.getByText("No connection.").count(), 0);

  // The server has it, and its answer is lost: the page sends it again, and it is there once.
  let losses = 0;
  await first.route("**/messages", async (route) => {
    if (route.request().method() !== "POST" || losses === 2) return route.fallback();
    losses += 1;
    await route.fetch();
    await route.abort();
  });
  await write(first, "After a lost answer");
  await shows(second, "After a lost answer");
  await shows(first, "After a lost answer");
  await isSettled(first);
  await first.unroute("**/messages");
  await write(first, "Back");
  await shows(second, "Back");
  assert.ok(losses > 0);
  for (const page of [first, second]) await isAnswered(page);
  assert.deepEqual(await texts(first), await texts(second));
  const own = await ownTexts(first);
  assert.equal(new Set(own).size, own.length, own.join("\n"));
  await look(first, "desktop");
  await isForEverybody(first);

  // A person of ours goes on, and the AI is silent from then on.
  await say("See https://example.com/a?b=c. Or <b>this</b>");
  const link = first.getByRole("link", { name: "https://example.com/a?b=c", exact: true });
  await link.waitFor(PATIENCE);
  assert.match(await link.getAttribute("rel"), /noopener/);
  assert.equal(await first.locator("#log b").count(), 0);
  await write(first, "Who is this?");
  await shows(second, "Who is this?");
  await isSettled(first);
  const all = await texts(first);

  // Somebody else, on a phone: while they get their answer, the first one gets none.
  const stranger = await open(await browser(PHONE));
  await stranger.getByText("Hello!", { exact: true }).waitFor(PATIENCE);
  await tap(stranger, "Is anybody here?");
  await shows(stranger, "Is anybody here?");
  await isAnswered(stranger);
  const theirs = await texts(stranger);
  assert.equal(theirs.length, 2);
  assert.equal(theirs[0], "Is anybody here?");
  assert.match(theirs[1], /What matters most to you/);
  assert.equal(await stranger.evaluate(() => document.documentElement.scrollWidth), PHONE.viewport.width);
  await tap(stranger, "The time. And here is a long word: " + "supercalifragilistic".repeat(6));
  await isAnswered(stranger);
  await look(stranger, "phone");
  assert.equal(await stranger.evaluate(() => document.documentElement.scrollWidth), PHONE.viewport.width);
  assert.deepEqual(await texts(first), all);
});
