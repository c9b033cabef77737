// Started by browser.rs: the browser, the address of the page, a folder for the profile.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [executablePath, address, profile] = process.argv.slice(2);
const PATIENCE = { timeout: 20_000 };
// What the page promises to survive.
const OFFLINE_MS = 10_000;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = async (text) => {
  console.log(`say ${text}`);
  await answers.next();
};

const options = {
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
};
const context = await chromium.launchPersistentContext(profile, { ...options, viewport: { width: 1024, height: 768 } });
const problems = [];
const watch = (page) => {
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    // That there is no connection is what the test is about.
    if (message.type() === "error" && !/ERR_INTERNET_DISCONNECTED|ERR_FAILED/.test(message.text())) {
      problems.push(message.text());
    }
  });
};
const open = async (within) => {
  const page = await within.newPage();
  watch(page);
  await page.goto(address);
  return page;
};
const write = async (page, text) => {
  const input = page.getByRole("textbox", { name: "Your message" });
  await input.fill(text);
  await input.press("Enter");
};
const shows = (page, text) => page.getByRole("log").getByText(text, { exact: true }).waitFor(PATIENCE);
const texts = (page) => page.locator("#log .message:not(.greeting) .bubble").allTextContents();
const isSettled = (page) =>
  page.waitForFunction(() => document.querySelectorAll("#waiting .pending").length === 0, null, PATIENCE);

try {
  const first = await open(context);
  await write(first, "Hello");
  await shows(first, "Hello");
  await say("Good day! How can I help?");
  await shows(first, "Good day! How can I help?");

  // Text is text.
  const script = "<script>document.title = 'taken over'</script>";
  await write(first, script);
  await shows(first, script);
  assert.equal(await first.title(), "Example & Sons");
  assert.equal(await first.locator("#log script").count(), 0);
  await say("See https://example.com/a?b=c. Or <b>this</b>");
  const link = first.getByRole("link", { name: "https://example.com/a?b=c", exact: true });
  await link.waitFor(PATIENCE);
  assert.match(await link.getAttribute("rel"), /noopener/);
  assert.equal(await first.locator("#log b").count(), 0);

  // Two tabs show the same chat.
  const second = await open(context);
  await shows(second, "Good day! How can I help?");
  await write(second, "From the other tab");
  await shows(first, "From the other tab");
  assert.deepEqual(await texts(first), await texts(second));

  // A reload keeps it, and what was being written.
  const before = await texts(first);
  await first.getByRole("textbox").fill("A draft");
  await first.reload();
  await shows(first, "From the other tab");
  assert.deepEqual(await texts(first), before);
  assert.equal(await first.getByRole("textbox").inputValue(), "A draft");

  // Without a connection nothing is lost; not even by a reload of the other tab, once it is back.
  await context.setOffline(true);
  const wentAt = Date.now();
  for (const text of ["Offline 1", "Offline 2"]) await write(first, text);
  await write(second, "Offline 3");
  await first.getByText("No connection.").waitFor(PATIENCE);
  for (const page of [first, second]) await page.getByText("Waits for the connection").nth(2).waitFor(PATIENCE);
  await say("Are you still there?");
  await first.waitForTimeout(Math.max(0, OFFLINE_MS - (Date.now() - wentAt)));
  assert.deepEqual(await texts(first), before);
  await context.setOffline(false);
  await second.reload();
  for (const page of [first, second]) {
    await shows(page, "Offline 3");
    await shows(page, "Are you still there?");
    await isSettled(page);
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
  const all = await texts(first);
  assert.deepEqual(all, await texts(second));
  assert.equal(new Set(all).size, all.length, all.join("\n"));

  // Somebody else.
  const other = await chromium.launch(options);
  const stranger = await open(await other.newContext());
  await stranger.getByText("Hello!", { exact: true }).waitFor(PATIENCE);
  await write(stranger, "Is anybody here?");
  await shows(stranger, "Is anybody here?");
  await say("Only for the second visitor");
  await shows(stranger, "Only for the second visitor");
  assert.deepEqual(await texts(stranger), ["Is anybody here?", "Only for the second visitor"]);
  assert.deepEqual(await texts(first), all);
  await other.close();

  assert.deepEqual(problems, []);
  console.log("all is well");
} finally {
  await context.close();
  answers.return?.();
  process.stdin.destroy();
}
