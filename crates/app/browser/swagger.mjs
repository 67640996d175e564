// Uses the Swagger page as a person would, in a real headless Chromium: opens it, enters an API key, and executes
// the page's own examples from a new service to a captured order. Fails on a console error and on any request that
// leaves the origin.
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
  console.error("no Chromium found; run deploy/ci/prepare --contract");
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

  // Executes a call with the body that the page offers; gives the status and the body that the page shows.
  const execute = async (method, path, parameters = {}, isOpen = false) => {
    const call = page.locator(`.opblock-${method}:has(.opblock-summary-path[data-path='${path}'])`).first();
    if (!isOpen) {
      await call.locator(".opblock-summary").click();
      await call.getByRole("button", { name: "Try it out" }).click();
    }
    for (const [name, value] of Object.entries(parameters)) {
      await call.locator(`tr[data-param-name='${name}'] input`).fill(value);
    }
    await call.locator("button.execute").click();
    const row = call.locator(".live-responses-table tbody tr.response").first();
    await row.waitFor({ timeout: 30_000 });
    const status = (await row.locator(".response-col_status").innerText()).trim().slice(0, 3);
    const shown = row.locator(".highlight-code code").first();
    // What was shown before stays until the new answer is there.
    if (isOpen) await call.locator(`.highlight-code code:has-text("${Object.values(parameters)[0]}")`).first().waitFor();
    const text = await shown.innerText();
    return { status, text, body: JSON.parse(text) };
  };
  const story = [
    ["post", "/api/v1/services"],
    ["post", "/api/v1/users/{user_id}/deposits", { user_id: "42", "Idempotency-Key": "page-1" }],
    ["post", "/api/v1/reservations", { "Idempotency-Key": "page-2" }],
    ["post", "/api/v1/reservations/capture", { "Idempotency-Key": "page-3" }],
  ];
  let last;
  for (const step of story) {
    last = await execute(...step);
    check(`${step[1]} executed on the page with its own example succeeds`, last.status.startsWith("2"), last);
  }
  check("the order is captured", last.body.state === "captured", last.body);

  const { user_id, service_id, order_id, captured } = last.body;
  const order = new URLSearchParams({ user_id, service_id, order_id });
  const answer = await fetch(`${origin}/api/v1/reservations?${order}`, { headers: { Authorization: `Bearer ${apiKey}` } });
  const kept = await answer.json();
  check("the service says so too", answer.status === 200 && kept.captured === captured && captured > 0, kept);

  // An id of 19 digits, sent and shown without loss.
  const large = "9223372036854775807";
  const exact = await execute("post", "/api/v1/users/{user_id}/deposits", { user_id: large, "Idempotency-Key": "page-5" }, true);
  check("an id above 2^53 is exact on the page", exact.text.includes(`"user_id": ${large},`), exact.text);
  const bounds = await page.locator("body").innerText();
  check("no bound on the page is rounded", !bounds.includes("9223372036854776000"));

  const first = page.locator(".opblock").first();
  check("the page begins with the story", (await first.getAttribute("class")).includes("opblock-post"));
  check("no bar of somebody else", (await page.locator(".topbar").count()) === 0);
  check("the page links to the documentation", (await page.locator("header a[href='/docs']").count()) === 1);
  const answers = page.locator(".opblock-post:has(.opblock-summary-path[data-path='/api/v1/transfers'])").first();
  await answers.locator(".opblock-summary").click();
  for (const [status, code] of [["401", "unauthenticated"], ["404", "account_not_found"], ["503", "outcome_unknown"]]) {
    const shown = await answers.locator(`tr.response[data-code='${status}']`).innerText();
    check(`${status} shows an example of its own`, shown.includes(`"code": "${code}"`), shown.slice(0, 300));
  }
  await page.setViewportSize({ width: 390, height: 844 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  check("the page fits a phone", width <= 390, width);

  for (const path of ["/openapi.json", "/swagger/swagger-ui-bundle.js"]) {
    const plain = await fetch(origin + path, { method: "HEAD", headers: { "Accept-Encoding": "identity" } });
    check(`${path} is plain for those who do not ask`, !plain.headers.get("content-encoding"), [...plain.headers]);
    const asked = await fetch(origin + path, { method: "HEAD", headers: { "Accept-Encoding": "gzip" } });
    check(`${path} is compressed for those who ask`, asked.headers.get("content-encoding") === "gzip", [...asked.headers]);
  }

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
