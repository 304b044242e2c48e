/** Whether an open run stands still because the laptop's engine is not running: a record alone cannot tell. */

import type { RunHeader } from '../plan/types.ts';
import { ownCommand } from './output.ts';
import type { Settings } from './settings.ts';

/** False where a server's address is set: its workers may be anywhere. */
export async function isEngineDown(settings: Settings): Promise<boolean> {
  const [{ readEngine, workerOwner }, { temporalTarget }] = await Promise.all([
    import('../deploy/embedded.ts'),
    import('./connect.ts'),
  ]);
  if ((await temporalTarget(settings)) !== null) return false;
  return readEngine(settings.folder) === null || workerOwner(settings.folder) === null;
}

export function engineDownWords({ run, file }: Pick<RunHeader, 'run' | 'file'>): string {
  return `Nothing runs here at the moment; ${run} goes on with: ${ownCommand('run', file, '--run', run)}`;
}
