// The life of some money: topped up, reserved for an order, captured in part, refunded in part, explained, reported.
//
//     node docs/examples/javascript/life-of-some-money.mjs [URL] [API_KEY]
//
// URL is http://127.0.0.1:8080 if left out, the key can also be in BALANCE_API_KEY. Exits non-zero if anything is not
// as expected.

import { deepStrictEqual as expect } from 'node:assert';
import { Balance, Problem, Unanswered } from './balance.mjs';

// A line instead of a trace where the service does not answer.
process.on('uncaughtException', (error) => {
  console.error(error instanceof Unanswered ? `not answered: ${error.message}` : error);
  process.exit(1);
});

const [url = 'http://127.0.0.1:8080', apiKey = process.env.BALANCE_API_KEY] = process.argv.slice(2);
const balance = new Balance(`${url}/api/v1`, { apiKey });
const service = 1;
// A new user for every run. Yours come from your own database, as do payments and orders.
const user = Date.now() * 1000 + Math.floor(Math.random() * 1000);
const [payment, order] = [user, user];

/** What a call that must be refused was refused with. */
async function problemOf(call) {
  try {
    await call;
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('this should have been refused');
}

// Services are added once: it being there already is fine.
try {
  await balance.post('/services', { services: [{ id: service, name: 'Courier' }] });
} catch (error) {
  if (error.code !== 'service_exists') throw error;
}

// The key names the payment: however often its notification comes in, the money comes once.
const topUp = { amount: 100_000, comment: 'card *1234' };
const first = await balance.post(`/users/${user}/deposits`, topUp, `payment-${payment}`);
const again = await balance.post(`/users/${user}/deposits`, topUp, `payment-${payment}`);
expect(first.status, 201);
expect(again.isReplay, true);
expect(again.body, first.body);

const what = { user_id: user, service_id: service, order_id: order };
const reserved = await balance.post('/reservations', { ...what, amount: 30_000 }, `order-${order}-reserve`);
expect(reserved.body.state, 'active');

// Delivered for less: a capture is final by default and gives the rest back.
const less = { ...what, amount: 25_000 };
const captured = await balance.post('/reservations/capture', less, `order-${order}-capture`);
expect([captured.body.captured, captured.body.released], [25_000, 5_000]);

const late = { ...what, amount: 5_000, comment: 'came late' };
const refunded = await balance.post('/reservations/refund', late, `order-${order}-refund-1`);
expect(refunded.body.refunded, 5_000);

const { body: now } = await balance.get(`/users/${user}/balance`);
expect([now.available, now.reserved, now.total], [80_000, 0, 80_000]);

// A rule that says no is an answer, not a failure to repeat.
const tooMuch = balance.post(`/users/${user}/withdrawals`, { amount: 1_000_000 }, `payout-${payment}`);
const refused = await problemOf(tooMuch);
expect([refused.code, refused.executed], ['insufficient_funds', 'no']);

// Why is the balance what it is? Oldest first, two per page to show paging.
const history = [];
for await (const operation of balance.pages(`/users/${user}/operations?sort=created_at&limit=2`)) {
  history.push(operation);
}
expect(history.map(({ kind }) => kind), ['deposit', 'reserve', 'capture', 'release', 'refund']);
expect(history.map(({ seq }) => seq), [1, 2, 3, 4, 5]);
expect(history.at(-1).available_after, now.available);

// An id above 2^53 is a string of digits here, and exact.
const large = String(2n ** 62n + BigInt(user));
const { body: exact } = await balance.post(`/users/${large}/deposits`, topUp, `payment-${payment}`);
expect(exact.user_id, large);

const month = history.at(-1).created_at.slice(0, 7);
const { body: report } = await balance.post('/reports/revenue', { month });
expect(report.url, `/api/v1/reports/revenue/${month}.csv`);
const { body: table } = await balance.get(`/reports/revenue/${month}.csv`);
expect(table.split(/\r?\n/)[0], 'service;revenue');
console.log(`user ${user} has ${now.available} ${now.currency} minor units; the report is at ${url}${report.url}`);
