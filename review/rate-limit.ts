/** Token buckets: so many requests at once, so many a second in the long run. */

export interface RateLimit {
  /** Whether one more request of this key may pass at this time (ms). */
  allow(key: string, now?: number): boolean;
}

/** Keys that were not seen for so long are forgotten; their buckets would be full again. */
const forgetAfterMs = 10 * 60_000;

export function createRateLimit(burst: number, perSecond: number): RateLimit {
  const buckets = new Map<string, { tokens: number; at: number }>();
  let sweptAt = 0;
  return {
    allow: (key, now = Date.now()) => {
      if (now - sweptAt > forgetAfterMs) {
        sweptAt = now;
        for (const [name, bucket] of buckets) if (now - bucket.at > forgetAfterMs) buckets.delete(name);
      }
      const bucket = buckets.get(key) ?? { tokens: burst, at: now };
      bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * perSecond);
      bucket.at = now;
      buckets.set(key, bucket);
      if (bucket.tokens < 1) return false;
      bucket.tokens -= 1;
      return true;
    },
  };
}
