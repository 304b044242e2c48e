/** Requests to the server with this reviewer's token, and whether it can be reached. */

import type { ProblemJson } from '../api.ts';

/** The server cannot be reached, or not now: to be tried again. */
export class AwayError extends Error {}
/** The server is there, and says why what was sent cannot reach the run now. */
export class HeldBackError extends AwayError {}
/** The token is missing or wrong. */
export class LockedError extends Error {}
/** The server understood, and says no. */
export class RefusedError extends Error {
  readonly status: number;
  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

export type ConnectionState = 'online' | 'away' | 'locked';

const tokenKey = 'hardcase.token';
const timeoutMs = 30_000;

export class Connection {
  #token: string;
  #state: ConnectionState = 'online';
  #why = '';
  readonly #listeners = new Set<() => void>();

  /** The token comes with the link, after the `#`, which browsers send to nobody; it is then taken out of sight. */
  constructor() {
    const fromLink = new URLSearchParams(location.hash.slice(1)).get('token');
    if (fromLink !== null) {
      localStorage.setItem(tokenKey, fromLink);
      history.replaceState(null, '', `${location.pathname}${location.search}`);
    }
    this.#token = fromLink ?? localStorage.getItem(tokenKey) ?? '';
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Why the server is away, where it said so itself. */
  get why(): string {
    return this.#why;
  }

  /** Answers how to stop listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  useToken(token: string): void {
    this.#token = token.trim();
    localStorage.setItem(tokenKey, this.#token);
  }

  async json<T>(path: string, body?: unknown, more: RequestInit = {}): Promise<T> {
    const init: RequestInit =
      body === undefined
        ? more
        : { ...more, method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    return (await (await this.#fetch(path, init)).json()) as T;
  }

  async blob(path: string): Promise<Blob> {
    return await (await this.#fetch(path, {})).blob();
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(path, {
        ...init,
        headers: { ...init.headers, authorization: `Bearer ${this.#token}` },
        signal: AbortSignal.timeout(timeoutMs),
      });
    } catch (error) {
      this.#become('away', '');
      throw new AwayError('The server cannot be reached.', { cause: error });
    }
    if (response.ok) {
      this.#become('online', '');
      return response;
    }
    const problem = (await response.json().catch(() => null)) as ProblemJson | null;
    const why = problem?.error ?? `The server answered ${response.status}.`;
    if (response.status === 401) {
      this.#become('locked', why);
      throw new LockedError(why);
    }
    if (response.status === 503) {
      this.#become('online', '');
      throw new HeldBackError(why);
    }
    if (response.status === 429 || response.status >= 500) {
      this.#become('away', why);
      throw new AwayError(why);
    }
    throw new RefusedError(why, response.status);
  }

  #become(state: ConnectionState, why: string): void {
    if (state === this.#state && why === this.#why) return;
    this.#state = state;
    this.#why = why;
    for (const listener of this.#listeners) listener();
  }
}
