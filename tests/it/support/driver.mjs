// What the scripts of the browser tests share. Started with: the browser, a folder for profiles, and whatever
// a script itself needs.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [executablePath, profiles, ...more] = process.argv.slice(2);
export const given = more;
export const PATIENCE = { timeout: 20_000 };
// What a chat promises to survive without a connection.
export const OFFLINE_MS = 10_000;
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };

// Has an operator say something in the latest dialogue.
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
export async function say(text) {
  console.log(`say ${text}`);
  await answers.next();
}

// A browser of somebody else each time; `preferences` are those of its profile.
let people = 0;
const browsers = [];
export async function browser(options = {}, preferences = {}) {
  people += 1;
  const profile = `${profiles}/${people}`;
  mkdirSync(`${profile}/Default`, { recursive: true });
  writeFileSync(`${profile}/Default/Preferences`, JSON.stringify({ profile: preferences }));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    viewport: { width: 1024, height: 768 },
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
    ...options,
  });
  browsers.push(context);
  return context;
}

// What went wrong in pages without their leave, such as an error in a script.
export const problems = [];
export async function open(context, address) {
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    // That there is no connection is what the tests are about; and who has no pass yet is told so once.
    const isExpected = /ERR_INTERNET_DISCONNECTED|ERR_FAILED|status of 401/.test(message.text());
    if (message.type() === "error" && !isExpected) problems.push(message.text());
  });
  await page.goto(address);
  return page;
}

export async function look(page, name) {
  if (!process.env.SCREENSHOTS) return;
  await page.screenshot({ path: `${process.env.SCREENSHOTS}${name}.png` });
}

// The person's last words have their answer, and none is being made. `chat` is a page or a frame.
export const isAnswered = (chat) => waitIn(chat, () => document.querySelector("#typing").hidden
  && document.querySelectorAll("#waiting .pending").length === 0
  && document.querySelector("#log .message:last-of-type")?.classList.contains("us"));
// Notes from now on whether the page shows that an answer is being written, however shortly: what comes and goes in
// one task is seen at no frame. Gives the waiting for it.
export async function watchTyping(chat) {
  await chat.locator("#typing").evaluate((typing) => {
    globalThis.wasTyping = false;
    new MutationObserver(() => { globalThis.wasTyping = true; }).observe(typing, { attributeFilter: ["hidden"] });
  });
  return () => waitIn(chat, () => globalThis.wasTyping);
}
export const isSettled = (chat) => waitIn(chat, () => document.querySelectorAll("#waiting .pending").length === 0);

// Waits for something within a page or a frame.
export async function waitIn(chat, condition) {
  const until = Date.now() + PATIENCE.timeout;
  while (!await chat.locator("body").evaluate(condition)) {
    if (Date.now() > until) throw new Error(`not in time: ${condition}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

// Nothing keeps anybody out who cannot see, hear or use a mouse, as far as a program can tell.
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export async function isForEverybody(frame) {
  await frame.evaluate(axe);
  const { violations } = await frame.evaluate(() => globalThis.axe.run({ iframes: false }));
  assert.deepEqual(violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]), []);
}

export const texts = (chat) => chat.locator("#log .message:not(.greeting) .bubble").allTextContents();
export const shows = (chat, text) => chat.getByRole("log").getByText(text, { exact: true }).waitFor(PATIENCE);

// Runs a script to its end, and leaves nothing running.
export async function perform(script) {
  try {
    await script();
    if (problems.length > 0) throw new Error(problems.join("\n"));
    console.log("all is well");
  } finally {
    for (const context of browsers) await context.close();
    answers.return?.();
    process.stdin.destroy();
  }
}
