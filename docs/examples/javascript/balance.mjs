// A client of `balance` on what Node.js 20 (and a browser) has by itself. Copy it.
//
// Whatever happens to a request (a timeout, a cut connection, an overloaded service), the client sends the *same*
// request with the *same* idempotency key again: the service executes it once and answers every repeat alike. It
// repeats nothing that a rule has refused. While it goes on trying it says so, by `warn`.
//
// Amounts are exact in JavaScript. Ids may be as large as 2^63-1, and a number is exact up to 2^53: an id above that
// is a string of digits here, and may be sent as one.

// Answers after which the same request may be sent again: the body came too late, too many requests, and a service
// or a proxy before it that cannot work just now.
const TRY_AGAIN = new Set([408, 429, 502, 503, 504]);

// How long it tries again before it says so.
const SILENT_MILLISECONDS = 2000;

// Fields that hold an id of sixteen digits or more. Inside of a text every quote has a backslash before it, so that
// none matches.
const LARGE_ID = /"((?:user|from_user|to_user|counterparty_user|service|order)_id|id)":\s*(\d{16,})/g;

/** Reads JSON whose ids may be larger than a number is exact. */
export const readExactly = (text) =>
  JSON.parse(text.replace(LARGE_ID, (field, name, id) => (Number.isSafeInteger(Number(id)) ? field : `"${name}":"${id}"`)));

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The service said no. Branch on `code`: the codes are in docs/api.md and never change; the words may. */
export class Problem extends Error {
  constructor(status, body, retryAfterSeconds) {
    super(`${status} ${body.code}: ${body.detail} (${body.request_id})`);
    this.status = status;
    this.code = body.code;
    // "no": nothing happened. "unknown": it may have; only the same request with the same key tells.
    this.executed = body.executed ?? 'unknown';
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** No answer came in time: whether it was executed is unknown. Keep the request and its key, repeat it later. */
export class Unanswered extends Error {}

export class Balance {
  constructor(url, { apiKey, attemptSeconds = 10, patienceSeconds = 60, warn = console.warn } = {}) {
    Object.assign(this, { url: url.replace(/\/$/, ''), apiKey, attemptSeconds, patienceSeconds, warn });
  }

  get(path) {
    return this.call('GET', path);
  }

  /**
   * `key` is the Idempotency-Key. Derive it from what you are doing (payment 981, order 7), or make one up and store
   * it *before* the first attempt, so that a restarted process repeats it too.
   */
  post(path, body, key) {
    return this.call('POST', path, body, key);
  }

  /** All rows of a list, page by page. */
  async *pages(path) {
    const separator = path.includes('?') ? '&' : '?';
    for (let cursor = ''; cursor !== null; ) {
      const { body } = await this.get(path + cursor);
      yield* body.data;
      cursor = body.next_cursor && `${separator}cursor=${body.next_cursor}`;
    }
  }

  /** Repeats until there is an answer or patience ends. Throws `Problem` or `Unanswered`. */
  async call(method, path, body, key) {
    const started = Date.now();
    const giveUpAt = started + this.patienceSeconds * 1000;
    let isSilent = true;
    for (let attempt = 0; ; attempt++) {
      let failure;
      try {
        return await this.#attempt(method, path, body, key);
      } catch (error) {
        const isFinal = error instanceof Problem && !TRY_AGAIN.has(error.status) && error.executed !== 'unknown';
        if (isFinal) throw error;
        failure = error;
      }
      // What the service asks for, at least; otherwise longer each time, and not all callers at once.
      const backoff = (0.5 + Math.random() / 2) * Math.min(100 * 2 ** attempt, 5000);
      const wait = Math.max((failure.retryAfterSeconds ?? 0) * 1000, backoff);
      const soon = Date.now() + wait;
      const why = failure.cause?.message || failure.cause?.code || failure.message;
      if (soon > giveUpAt) {
        throw new Unanswered(`${method} ${path} with key ${key}: ${why}`, { cause: failure });
      }
      if (isSilent && soon > started + SILENT_MILLISECONDS) {
        isSilent = false;
        this.warn(`${this.url}${path}: ${why}; trying again for ${Math.round((giveUpAt - soon) / 1000)} s`);
      }
      await pause(wait);
    }
  }

  async #attempt(method, path, body, key) {
    const headers = {};
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (this.apiKey) headers.Authorization = `Bearer ${this.apiKey}`;
    if (key) headers['Idempotency-Key'] = key;
    const signal = AbortSignal.timeout(this.attemptSeconds * 1000);
    const response = await fetch(this.url + path, { method, headers, body: JSON.stringify(body), signal });
    const type = response.headers.get('content-type') ?? '';
    if (!response.ok) {
      // Without a problem it was not the service that answered, but something before it: nothing is known.
      const problem = type.startsWith('application/problem+json') ? await response.json() : {};
      throw new Problem(response.status, problem, Number(response.headers.get('retry-after')) || 0);
    }
    return {
      status: response.status,
      body: type.startsWith('application/json') ? readExactly(await response.text()) : await response.text(),
      isReplay: response.headers.get('idempotency-replayed') === 'true',
    };
  }
}
