// Uses the Swagger page as a person would, in a real headless Chromium: opens it, enters an API key, executes a
// deposit and reads 201. Fails on a console error and on any request that leaves the origin.
//
//   node swagger.mjs http://127.0.0.1:8080 bal_0123456789ab_…
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const [origin, apiKey] = process.argv.slice(2);
if (!origin || !apiKey) {
  console.error("usage: node swagger.mjs ORIGIN API_KEY");
  process.exit(2);
}

const executablePath = [
  "/usr/bin/chromium-headless-shell",
  "/usr/bin/chromium",
  "/usr/bin/google-chrome",
].find(existsSync);
if (!executablePath) {
  console.error("no Chromium found; run scripts/prepare --contract");
  process.exit(1);
}

let failed = 0;
const check = (name, ok, seen) => {
  console.log(`${ok ? "ok" : "FAILED"}: ${name}${ok || seen === undefined ? "" : ` (seen: ${JSON.stringify(seen)})`}`);
  if (!ok) failed += 1;
};

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage();
  const elsewhere = [];
  const consoleErrors = [];
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith("data:") && !url.startsWith("blob:")) elsewhere.push(url);
  });
  page.on("console", (message) => message.type() === "error" && consoleErrors.push(message.text()));
  page.on("pageerror", (error) => consoleErrors.push(String(error)));

  await page.goto(`${origin}/swagger/index.html`);
  await page.waitForSelector(".opblock", { timeout: 15_000 });
  const described = await (await fetch(`${origin}/openapi.json`)).json();
  const wanted = Object.values(described.paths).flatMap((path) =>
    Object.keys(path).filter((method) => ["get", "post", "patch", "put", "delete"].includes(method)),
  ).length;
  const shown = await page.locator(".opblock").count();
  check("every operation is on the page", shown === wanted && wanted > 20, { shown, wanted });

  await page.click("button.authorize");
  await page.locator(".auth-container input").first().fill(apiKey);
  await page.locator(".auth-container button.authorize").first().click();
  await page.locator(".auth-container button.btn-done").first().click();

  const deposit = page.locator("[id$='-deposit'].opblock, .opblock:has(.opblock-summary-path[data-path='/api/v1/users/{user_id}/deposits'])").first();
  await deposit.locator(".opblock-summary").click();
  // "Try it out" may be on already; then its button says Cancel.
  const tryOut = deposit.locator("button.try-out__btn:not(.cancel)");
  await deposit.locator("button.try-out__btn").waitFor();
  if (await tryOut.count()) await tryOut.click();
  await deposit.locator("tr[data-param-name='user_id'] input").fill("4711");
  await deposit.locator("tr[data-param-name='Idempotency-Key'] input").fill(`page-${Date.now()}`);
  await deposit.locator("textarea.body-param__text").fill(JSON.stringify({ amount: 12345, comment: "from the page" }));
  await deposit.locator("button.execute").click();
  const status = deposit.locator(".live-responses-table .response-col_status").first();
  await status.waitFor({ timeout: 15_000 });
  const shownStatus = (await deposit.locator(".live-responses-table tbody .response-col_status").first().innerText()).trim();
  check("a deposit executed on the page answers 201", shownStatus.startsWith("201"), shownStatus);

  const balance = await fetch(`${origin}/api/v1/users/4711/balance`, { headers: { Authorization: `Bearer ${apiKey}` } });
  const body = await balance.json();
  check("the money is there", balance.status === 200 && body.available >= 12345, body);

  const unknown = await fetch(`${origin}/swagger/no-such-file.js`);
  check("an unknown file of the page answers 404", unknown.status === 404, unknown.status);
  const redirected = await fetch(`${origin}/swagger`);
  check("/swagger leads to the page", redirected.ok && redirected.url.endsWith("/swagger/index.html"), redirected.url);
  check("no request left the origin", elsewhere.length === 0, elsewhere);
  check("no error on the console", consoleErrors.length === 0, consoleErrors);
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: false });
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);
