// Uses the console as people of support and accounting would, in a real headless Chromium: in both languages, both
// schemes, on a desktop and on a phone, and once without JavaScript. Fails on anything that axe finds, on an error on
// the browser's console, and on any request that leaves the origin.
//
//   node console.mjs ORIGIN ADMIN_KEY [VIEWER_KEY]     a service with `console = on`; the viewer's key reads balances
//   node console.mjs ORIGIN ADMIN_KEY --read-only      only a service with `console = read_only`
//
// SCREENSHOTS=FOLDER keeps a picture of every page.
import { existsSync, mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

const [origin, adminKey, other] = process.argv.slice(2);
if (!origin || !adminKey) {
  console.error("usage: node console.mjs ORIGIN ADMIN_KEY [VIEWER_KEY | --read-only]");
  process.exit(2);
}
const isReadOnly = other === "--read-only";
const executablePath = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
if (!executablePath) {
  console.error("no Chromium found; run deploy/ci/prepare --contract");
  process.exit(1);
}
const folder = process.env.SCREENSHOTS;
if (folder) mkdirSync(folder, { recursive: true });

let failed = 0;
const check = (name, ok, seen) => {
  console.log(`${ok ? "ok" : "FAILED"}: ${name}${ok || seen === undefined ? "" : ` (seen: ${JSON.stringify(seen)})`}`);
  if (!ok) failed += 1;
};

// What the pages show: a user with an order that was charged, one with a hold that ends soon, long Cyrillic names.
const user = 4_200_000 + Math.floor(Math.random() * 1_000_000);
const order = user * 10;
const service = 71;
const longName = "Доставка крупногабаритных и хрупких грузов по Санкт-Петербургу и Ленинградской области в выходные дни";
const api = async (method, path, body, key) => {
  const headers = { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json", "Idempotency-Key": key ?? crypto.randomUUID() };
  const answer = await fetch(`${origin}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  return { status: answer.status, body: answer.headers.get("content-type")?.includes("json") ? await answer.json() : await answer.text() };
};
const must = async (...call) => {
  const answer = await api(...call);
  if (answer.status >= 300 && answer.body.code !== "service_exists") throw new Error(`${call.join(" ")}: ${JSON.stringify(answer)}`);
  return answer.body;
};
const ids = (id) => ({ user_id: user, service_id: service, order_id: id });
await must("POST", "/services", { services: [{ id: service, name: longName }] });
await must("POST", `/users/${user}/deposits`, { amount: 150_000, comment: "Пополнение с карты *1234" });
await must("POST", "/reservations", { ...ids(order), amount: 30_000, comment: "Заказ дивана" });
await must("POST", "/reservations/capture", { ...ids(order), amount: 30_000, comment: "Диван доставлен во вторник" });
await must("POST", "/reservations", { ...ids(order + 1), amount: 20_000, expires_in_seconds: 3_000, comment: "Заказ шкафа" });
await must("POST", `/users/${user + 1}/deposits`, { amount: 5_000 });
const month = new Date().toISOString().slice(0, 7);
const balance = async (id = user) => must("GET", `/users/${id}/balance`);

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

const elsewhere = [];
const errors = [];
const open = async (options = {}) => {
  const context = await browser.newContext({ locale: "ru-RU", acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.on("request", (request) => request.url().startsWith(origin) || elsewhere.push(request.url()));
  // A refusal that a test provokes is written to the console by the browser itself.
  page.on("console", (message) => message.type() === "error" && !/status of 4(01|03|04|09)/.test(message.text()) && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  return page;
};
const logIn = async (page, key) => {
  await page.goto(`${origin}/console`);
  if (!page.url().includes("/login")) return;
  await page.locator("#key").fill(key);
  await page.locator("main button.main").click();
  await page.waitForURL(/\/console(?!\/login)/);
};
let isWithScript = true;
const look = async (page, name) => {
  if (isWithScript) {
    const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]).analyze();
    const found = violations.map((one) => `${one.id}: ${one.nodes[0].target} ${one.nodes[0].failureSummary?.split("\n")[1] ?? ""}`);
    check(`axe finds nothing on ${name}`, found.length === 0, found);
  }
  const isNarrow = (page.viewportSize()?.width ?? 1280) < 500;
  if (isNarrow) {
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    check(`${name} does not scroll sideways`, width <= page.viewportSize().width, width);
  }
  if (folder) await page.screenshot({ path: `${folder}/${name.replaceAll(/[^a-zа-я0-9]+/gi, "-")}.png`, fullPage: true });
};
const text = (page) => page.locator("main").innerText();

const pages = [
  ["home", "/console"],
  ["user", `/console/users/${user}`],
  ["history", `/console/users/${user}/history?kind=capture`],
  ["reservation", `/console/reservations/${user}/${service}/${order}`],
  ["holds", "/console/holds"],
  ["found", `/console/find?q=${order}7`],
  ["services", "/console/services"],
  ["service", `/console/services/${service}`],
  ["revenue", "/console/revenue"],
  ["month", `/console/revenue/${month}`],
  ["missing", "/console/users/9223372036854775807"],
];
const forms = [
  ["deposit", `/console/act/deposit?user_id=${user}`],
  ["refund", `/console/act/refund?user_id=${user}&service_id=${service}&order_id=${order}`],
];

const everyPage = async () => {
  for (const language of ["ru", "en"]) {
    for (const colorScheme of ["light", "dark"]) {
      for (const [device, viewport] of [["desktop", { width: 1280, height: 900 }], ["phone", { width: 390, height: 844 }]]) {
        const page = await open({ locale: language === "ru" ? "ru-RU" : "en-GB", colorScheme, viewport });
        const name = `${language} ${colorScheme} ${device}`;
        await page.goto(`${origin}/console/login`);
        if (page.url().endsWith("/login")) await look(page, `${name} login`);
        await logIn(page, adminKey);
        const lang = await page.locator("html").getAttribute("lang");
        check(`${name} speaks the browser's language`, lang === language, lang);
        for (const [what, address] of isReadOnly ? pages : [...pages, ...forms]) {
          const answer = await page.goto(origin + address);
          check(`${name} ${what} answers`, answer.status() < 400 || what === "missing", answer.status());
          await look(page, `${name} ${what}`);
        }
        await page.context().close();
      }
    }
  }
};

// The five questions of support, by clicks alone.
const support = async () => {
  const page = await open();
  await logIn(page, adminKey);
  // 1. Why was the user charged?
  await page.locator("#asked").fill(String(user));
  await page.locator(".search button").click();
  await page.waitForURL(`**/console/users/${user}`);
  const charged = await text(page);
  check("why the user was charged: in words, with comment and service", charged.includes(`Списано: ${longName}, заказ ${order}`) && charged.includes("Диван доставлен во вторник"), charged);
  check("the balance is written as Russians write it", charged.includes("1\u00a0000,00\u00a0₽"), charged);
  // 2. Revenue against the month before.
  await page.locator("header nav a", { hasText: "Выручка" }).click();
  const months = await text(page);
  check("revenue against the month before", /К прошлому месяцу/.test(months) && /\+\d/.test(months), months);
  // 5. The month in Excel.
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("tbody tr").first().locator("a", { hasText: "Excel" }).click()]);
  const file = await readFile(await download.path());
  check("the month opens in Excel", file.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf])) && file.toString().includes(`${service};"${longName}";`), file.toString());
  // 4. Holds about to end.
  await page.locator("header nav a", { hasText: "Удержания" }).click();
  const holds = await text(page);
  check("holds that end soon, the nearest first", holds.includes(String(order + 1)) && /осталось|мин/.test(holds), holds);
  // 3. Refund the order: form, check, deed, receipt.
  await page.locator("header .find input").fill(String(order));
  await page.locator("header .find button").click();
  await page.goto(`${origin}/console/users/${user}`);
  await page.locator("main a", { hasText: `заказ ${order}` }).first().click();
  await page.locator("a.button", { hasText: "Вернуть деньги" }).click();
  const before = await balance();
  await page.locator("#amount").fill("100,00");
  await page.locator("button.main").click();
  check("without a comment nothing goes on", (await page.locator("#comment:invalid").count()) === 1);
  await page.locator("#comment").fill("Доставили с царапиной");
  await page.locator("button.main").click();
  await page.waitForURL("**/act/refund/check");
  const shown = await text(page);
  check("the check page shows before and after", shown.includes("1\u00a0000,00\u00a0₽") && shown.includes("1\u00a0100,00\u00a0₽"), shown);
  check("nothing has been done yet", (await balance()).available === before.available);
  await look(page, "check");
  const first = page.locator("main .buttons > *").first();
  check("what acts does not stand first", (await first.innerText()) === "Изменить");
  // Double click, reload and back: once.
  const again = await page.locator("form.once").evaluate((form) => new URLSearchParams(new FormData(form)).toString());
  await page.locator("form.once button").evaluate((button) => {
    button.click();
    button.click();
  });
  await page.waitForURL("**/receipts/**");
  await look(page, "receipt");
  await page.reload();
  // Going back sends the form of the check page again: with the same key.
  const same = await page.evaluate(async (body) => {
    const answer = await fetch("/console/act/refund/check", { method: "POST", headers: { "Content-Type": "application/x-www-form-urlencoded" }, body });
    return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[name=key]").value;
  }, again);
  check("the check page loaded again has the same key", new URLSearchParams(again).get("key") === same, same);
  const repeated = await page.evaluate(async (body) => (await fetch("/console/act/refund/do", { method: "POST", headers: { "Content-Type": "application/x-www-form-urlencoded" }, body })).status, again);
  check("a repeat of the deed leads to the same receipt", repeated === 200, repeated);
  const after = await balance();
  check("the deed done again and again happened once", after.available === before.available + 10_000, [before, after]);
  check("the receipt names what was done", (await text(page)).includes("Доставили с царапиной"));
  // More than there is: the rule says no, in words.
  await page.goto(`${origin}/console/act/refund?user_id=${user}&service_id=${service}&order_id=${order}`);
  await page.locator("#amount").fill("9 000,00");
  await page.locator("#comment").fill("слишком много");
  await page.locator("button.main").click();
  check("a refusal is said in words", (await text(page)).includes("Вернуть можно только 200,00"), await text(page));
  await look(page, "refused");
  await page.context().close();
};

// Each kind of deed, sent twice under the key of its check page.
const onceEach = async () => {
  const page = await open({ locale: "en-GB" });
  await logIn(page, adminKey);
  const total = async () => (await balance()).total + (await balance(user + 1)).total;
  const hold = (id) => `user_id=${user}&service_id=${service}&order_id=${id}`;
  for (const id of [2, 3]) await must("POST", "/reservations", { ...ids(order + id), amount: 1_000 });
  const deeds = [
    ["deposit", `user_id=${user}`, { amount: "10.00" }, 1_000],
    ["withdraw", `user_id=${user}`, { amount: "10.00" }, -1_000],
    ["transfer", `user_id=${user}`, { to_user_id: String(user + 1), amount: "5.00" }, 0],
    ["capture", hold(order + 2), {}, -1_000],
    ["release", hold(order + 3), {}, 0],
    ["refund", hold(order + 2), { amount: "1.00" }, 100],
  ];
  for (const [deed, query, fields, change] of deeds) {
    const [before, version] = [await total(), (await balance()).version];
    await page.goto(`${origin}/console/act/${deed}?${query}`);
    for (const [name, value] of Object.entries({ ...fields, comment: `twice: ${deed}` })) await page.locator(`#${name}`).fill(value);
    await page.locator("button.main").click();
    await page.waitForURL(`**/act/${deed}/check`);
    const sent = await page.locator("form.once").evaluate((form) => new URLSearchParams(new FormData(form)).toString());
    await page.locator("form.once button").click();
    await page.waitForURL("**/receipts/**");
    const once = (await balance()).version;
    await page.evaluate(([deed, body]) => fetch(`/console/act/${deed}/do`, { method: "POST", headers: { "Content-Type": "application/x-www-form-urlencoded" }, body }), [deed, sent]);
    const twice = await balance();
    check(`${deed} done twice happens once`, twice.version === once && once > version && (await total()) === before + change, { version, once, twice, before });
  }
  await page.context().close();
};

const withoutScript = async () => {
  isWithScript = false;
  const page = await open({ javaScriptEnabled: false });
  await logIn(page, adminKey);
  const before = await balance();
  await page.locator("#asked").fill(String(user));
  await page.locator(".search button").click();
  await page.locator("a.button", { hasText: "Пополнить" }).click();
  await page.locator("#amount").fill("1 250,50");
  await page.locator("#comment").fill("без скриптов");
  await page.locator("button.main").click();
  await page.locator("form.once button").click();
  check("without JavaScript a deed ends in a receipt", page.url().includes("/receipts/"), page.url());
  check("and is done", (await balance()).available === before.available + 125_050);
  await look(page, "without script receipt");
  await page.locator("header .self a").first().click();
  check("the language changes without a script", (await page.locator("html").getAttribute("lang")) === "en");
  await page.context().close();
  isWithScript = true;
};

// What a key's scopes do not allow is not shown and not possible.
const viewer = async (key) => {
  const page = await open();
  await logIn(page, key);
  await page.goto(`${origin}/console/users/${user}`);
  check("a viewer sees balances", (await text(page)).includes("Доступно"));
  check("but no deed", (await page.locator("a[href*='/act/']").count()) === 0);
  check("and no other chapter", (await page.locator("header nav a").count()) === 2, await page.locator("header nav").innerText());
  for (const address of [`/console/users/${user}/history`, "/console/revenue", "/console/holds", `/console/act/deposit?user_id=${user}`]) {
    const answer = await page.goto(origin + address);
    check(`${address} is refused`, answer.status() === 403, answer.status());
  }
  const version = (await balance()).version;
  const status = await page.evaluate(
    async (user) =>
      (await fetch("/console/act/deposit/do", { method: "POST", headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: `user_id=${user}&amount=1&comment=c&key=k` })).status,
    user,
  );
  check("the deed itself is refused", status === 403 && (await balance()).version === version, status);
  await page.locator("header button", { hasText: "Выйти" }).click();
  await page.goto(`${origin}/console/users/${user}`);
  check("after logging out one has to log in", page.url().includes("/console/login"), page.url());
  await page.context().close();
};

const readOnly = async () => {
  const page = await open();
  await logIn(page, adminKey);
  await page.goto(`${origin}/console/users/${user}`);
  check("a console for looking offers no deed", (await page.locator("a[href*='/act/']").count()) === 0);
  check("and says so", (await page.locator("body").innerText()).includes("только для просмотра"));
  const version = (await balance()).version;
  for (const address of ["/console/act/deposit/check", "/console/act/deposit/do", "/console/services", `/console/services/${service}/retire`]) {
    const status = await page.evaluate(
      async ([address, user]) =>
        (await fetch(address, { method: "POST", headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: `user_id=${user}&amount=1&comment=c&key=k&id=5&name=n&sure=yes` })).status,
      [address, user],
    );
    check(`POST ${address} is refused by the server`, status === 403, status);
  }
  check("nothing was done", (await balance()).version === version);
  await page.context().close();
};

// Another site's page cannot act with a visitor's cookie, and the API does not look at it.
const foreign = async () => {
  const page = await open();
  await logIn(page, adminKey);
  const cookies = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
  const post = (headers) =>
    fetch(`${origin}/console/act/deposit/do`, { method: "POST", redirect: "manual", headers: { Cookie: cookies, "Content-Type": "application/x-www-form-urlencoded", ...headers }, body: `user_id=${user}&amount=1&comment=c&key=foreign` });
  const version = (await balance()).version;
  for (const headers of [{ "Sec-Fetch-Site": "cross-site" }, { Origin: "https://evil.example" }, {}]) {
    check(`a deed from elsewhere is refused: ${JSON.stringify(headers)}`, (await post(headers)).status === 403);
  }
  check("and not done", (await balance()).version === version);
  if (cookies.includes("balance_console")) {
    const answer = await fetch(`${origin}/api/v1/users/${user}/balance`, { headers: { Cookie: cookies } });
    check("the API ignores the cookie", answer.status === 401, answer.status);
    const kept = (await page.context().cookies()).find(({ name }) => name.endsWith("balance_console"));
    check("the cookie is out of reach of scripts", kept.httpOnly && kept.sameSite === "Lax" && kept.value !== adminKey, kept);
  }
  await page.context().close();
};

try {
  const landing = await fetch(`${origin}/`, { redirect: "manual", headers: { Accept: "text/html" } });
  check("/ leads a browser to the console", landing.headers.get("location") === "/console", landing.headers.get("location"));
  if (isReadOnly) {
    await readOnly();
  } else {
    await support();
    await onceEach();
    await withoutScript();
    await foreign();
    if (other) await viewer(other);
    await everyPage();
  }
  check("no request left the origin", elsewhere.length === 0, elsewhere);
  check("no error on the console", errors.length === 0, errors);
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);
