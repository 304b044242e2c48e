/** One server, store and worker for all tests of a file. */

import { afterAll, beforeAll } from 'vitest';
import { openRig, type Rig, type Steps } from './rig.ts';

/** There once the first test begins; `steps`: what the worker's kinds do. */
export function rigOfFile(steps: Steps): Rig {
  const rig = {} as { -readonly [name in keyof Rig]: Rig[name] };
  let opened: Rig | null = null;
  beforeAll(async () => {
    opened = await openRig();
    Object.assign(rig, opened);
    await opened.startWorker(steps);
  });
  afterAll(() => opened?.close());
  return rig;
}
