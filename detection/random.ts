/** Seeded random numbers whose state can be saved, and the hash that makes one seed out of several values. */

/** The state of a generator: plain data, so that it can stand in a checkpoint. */
export type RandomState = readonly [number, number, number, number];

export interface Random {
  /** Uniform in [0, 1), 32 bits. */
  next(): number;
  /** Uniform integer in [0, n). */
  int(n: number): number;
  /** Standard normal. */
  normal(): number;
  /** Complete: a generator made by `restoreRandom(state)` goes on with the same numbers. */
  readonly state: RandomState;
}

/** Generator for a seed. Different seeds give unrelated sequences. */
export function createRandom(seed: number | string): Random {
  const h = hashSeed('random', seed);
  const random = restoreRandom([h, hashSeed(h, 1), hashSeed(h, 2), 1]);
  // sfc32's author advises to discard the first outputs, which still show the seed.
  for (let i = 0; i < 12; i++) random.next();
  return random;
}

/** sfc32 by Chris Doty-Humphrey (PractRand): 128 bits of state, passes BigCrush. */
export function restoreRandom(state: RandomState): Random {
  let [a, b, c, counter] = state;
  const next = (): number => {
    const t = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    c |= 0;
    return (t >>> 0) / 4294967296;
  };
  return {
    next,
    int: (n) => Math.floor(next() * n),
    // Box and Muller (1958). The second value is thrown away, so that no half-used pair hides outside the state.
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    get state(): RandomState {
      return [a, b, c, counter];
    },
  };
}

/**
 * 32-bit hash of values, the same on every machine: MurmurHash3 (Austin Appleby) over their text.
 * A number and its decimal text differ, and ('ab', 'c') differs from ('a', 'bc').
 */
export function hashSeed(...parts: readonly (number | string)[]): number {
  let h = 0x9747b28c;
  let length = 0;
  const mix = (value: number): void => {
    const k = Math.imul(value, 0xcc9e2d51);
    h ^= Math.imul((k << 15) | (k >>> 17), 0x1b873593);
    h = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
    length += 4;
  };
  for (const part of parts) {
    mix(typeof part === 'number' ? 0x6e : 0x73);
    const text = String(part);
    for (let i = 0; i < text.length; i++) mix(text.charCodeAt(i));
    mix(-1);
  }
  h ^= length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
