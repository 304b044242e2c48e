/**
 * The clock of a worker, to be set wrong: by libfaketime where the machine has it, which lies to the whole process, the SDK's
 * native core and its TLS included; else in JavaScript alone.
 */

import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface WrongClock {
  /** What a worker is started with. */
  readonly environment: NodeJS.ProcessEnv;
  /** How far it is off, in milliseconds; noticed within a second. */
  set(byMs: number): void;
}

/** `libfaketime` of Debian and Ubuntu. */
export function findFaketime(): string | null {
  const folders = ['/usr/lib', '/usr/local/lib'];
  const beneath = folders.flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [],
  );
  const places = [...folders, ...beneath].map((folder) => join(folder, 'faketime', 'libfaketime.so.1'));
  return places.find((place) => existsSync(place)) ?? null;
}

/** `file` belongs to the clock of one worker. Null where there is no libfaketime. */
export function openWrongClock(file: string): WrongClock | null {
  const library = findFaketime();
  if (library === null) return null;
  const set = (byMs: number): void => writeFileSync(file, `${byMs < 0 ? '-' : '+'}${Math.abs(byMs) / 1000}\n`);
  set(0);
  return {
    environment: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: '1',
      // A jump of the wall clock leaves the clock that timers run by alone, as on a real machine.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    },
    set,
  };
}
