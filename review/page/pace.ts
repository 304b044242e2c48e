/** How fast somebody decides, and how long the rest will take. */

/** Longer than this is a break, not a decision. */
const breakMs = 60_000;
const recent = 30;

export class Pace {
  readonly #took: number[] = [];

  add(ms: number): void {
    if (ms > breakMs) return;
    this.#took.push(ms);
    if (this.#took.length > recent) this.#took.shift();
  }

  /** Seconds a decision, the mean of the last ones; null before there are five. */
  get seconds(): number | null {
    if (this.#took.length < 5) return null;
    return this.#took.reduce((sum, ms) => sum + ms, 0) / this.#took.length / 1000;
  }
}

/** `about 4 min`; `about 2 h 10 min`. */
export function timeLeft(seconds: number): string {
  if (seconds < 50) return 'under a minute';
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) return `about ${minutes} min`;
  const rest = minutes % 60;
  return `about ${Math.floor(minutes / 60)} h${rest === 0 ? '' : ` ${rest} min`}`;
}
