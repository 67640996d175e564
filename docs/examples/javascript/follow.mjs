// A follower of the feed, on balance.mjs beside it. Copy it.
//
// It keeps its place and what it made of the events in one file, which it replaces as a whole: after a crash at any
// moment it goes on where it was, and has counted everything once. Here it keeps each user's balance and what each
// service earned. For more than a few users take a database, and move the place in the transaction of what the events
// change.
//
//     node follow.mjs URL FILE [--until-idle]

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { Balance, Problem, Unanswered } from './balance.mjs';

const [url, path, ...options] = process.argv.slice(2);
const untilIdle = options.includes('--until-idle');

/** What one event means to you. */
function apply(state, { type, data }) {
  if (type.startsWith('balance.operation.')) {
    const before = state.balances[data.user_id];
    // At least once: an event may come again. Each user's events come in the order of seq.
    if (before && data.seq <= before.seq) return;
    state.balances[data.user_id] = { seq: data.seq, available: data.available_after, reserved: data.reserved_after };
    const sign = { 'balance.operation.capture': 1, 'balance.operation.refund': -1 }[type];
    if (sign) state.earned[data.service_id] = (state.earned[data.service_id] ?? 0) + sign * data.amount;
  }
  // On balance.account.closed a follower that holds personal data of data.user_id erases it. This one holds none.
}

/** Replaces the file at once: there is never half a state. */
function save(state) {
  writeFileSync(`${path}.new`, JSON.stringify(state), { flush: true });
  renameSync(`${path}.new`, path);
}

// A long poll takes up to 25 seconds, so an attempt may take longer than that.
const client = new Balance(`${url.replace(/\/$/, '')}/api/v1`, { apiKey: process.env.BALANCE_API_KEY, attemptSeconds: 40 });
const fresh = { cursor: 'earliest', balances: {}, earned: {} };
const state = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : fresh;
for (;;) {
  try {
    const page = await client.get(`/events?cursor=${state.cursor}&limit=500&wait=${untilIdle ? 0 : 25}`);
    for (const event of page.body.data) apply(state, event);
    state.cursor = page.body.next_cursor;
    save(state);
    if (untilIdle && page.body.data.length === 0) break;
  } catch (error) {
    if (error instanceof Problem && error.code === 'cursor_ahead') {
      // The ledger was restored to an earlier state: what this file says may never have been. Rebuild it.
      console.error(`${path} has seen events that were taken back; move it away and start again`);
      process.exit(1);
    }
    if (!(error instanceof Unanswered)) throw error;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
for (const [user, { seq, available, reserved }] of Object.entries(state.balances)) {
  console.log(`user ${user}: ${available} available, ${reserved} reserved after ${seq} operations`);
}
for (const [service, amount] of Object.entries(state.earned)) console.log(`service ${service}: ${amount} earned`);
