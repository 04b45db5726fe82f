// Drives Chromium for the Go tests: one JSON request per line on stdin, one JSON answer per line on stdout.
// Requests carry {id, op, ...}; answers {id, result} or {id, error}. Page events come as {event, page, text}.
import { chromium } from 'playwright-core';
import { createInterface } from 'node:readline';
import { readFileSync } from 'node:fs';

const kit = readFileSync(new URL('./kit.js', import.meta.url), 'utf8');
const browsers = new Map();
const pages = new Map();
let nextId = 1;

const say = (message) => process.stdout.write(JSON.stringify(message) + '\n');

const ops = {
  async launch({ args, env }) {
    const server = await chromium.launchServer({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      headless: true,
      args,
      env: { ...process.env, ...env },
      ignoreDefaultArgs: ['--mute-audio'],
      timeout: 60000,
    });
    const browser = await chromium.connect(server.wsEndpoint());
    const id = nextId++;
    browsers.set(id, { server, browser });
    return { id, pid: server.process().pid, version: browser.version() };
  },
  async quit({ browser }) {
    const b = browsers.get(browser);
    browsers.delete(browser);
    await b.browser.close().catch(() => {});
    await b.server.kill().catch(() => {});
  },
  // A page in a context of its own, with the kit and its settings installed before anything of the page runs.
  async open({ browser, settings, url, viewport }) {
    const context = await browsers.get(browser).browser.newContext({ viewport: viewport ?? { width: 1000, height: 800 } });
    await context.addInitScript({ content: `window.__kitSettings = ${JSON.stringify(settings ?? {})};\n${kit}` });
    const page = await context.newPage();
    const id = nextId++;
    pages.set(id, { context, page });
    page.on('console', (m) => say({ event: 'console', page: id, text: `${m.type()}: ${m.text()}` }));
    page.on('pageerror', (e) => say({ event: 'pageerror', page: id, text: String(e) }));
    page.on('crash', () => say({ event: 'crash', page: id, text: '' }));
    if (url) await page.goto(url, { timeout: 30000 });
    return { id };
  },
  async close({ page }) {
    const p = pages.get(page);
    pages.delete(page);
    await p.context.close();
  },
  async goto({ page, url }) {
    await pages.get(page).page.goto(url, { timeout: 30000 });
  },
  async fill({ page, selector, value }) {
    await pages.get(page).page.fill(selector, value, { timeout: 15000 });
  },
  async click({ page, selector }) {
    await pages.get(page).page.click(selector, { timeout: 15000 });
  },
  async press({ page, key }) {
    await pages.get(page).page.keyboard.press(key);
  },
  // Evaluates a function's source with one argument; a promise is awaited.
  async eval({ page, source, arg }) {
    return pages.get(page).page.evaluate(`(${source})(${JSON.stringify(arg ?? null)})`);
  },
  async waitFor({ page, source, arg, timeout }) {
    await pages.get(page).page.waitForFunction(`(${source})(${JSON.stringify(arg ?? null)})`, undefined, { timeout });
  },
  async screenshot({ page, path }) {
    await pages.get(page).page.screenshot({ path });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, op, ...rest } = JSON.parse(line);
  ops[op](rest).then(
    (result) => say({ id, result: result ?? null }),
    (error) => say({ id, error: String(error?.stack ?? error) }),
  );
}
await Promise.all([...browsers.values()].map((b) => b.server.kill().catch(() => {})));
process.exit(0);
