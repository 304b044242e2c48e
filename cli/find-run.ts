/** A run as people name it: its id, the beginning of it, or `latest`. */

import { listRuns, type RunRecord, readRun } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { CommandError, didYouMean, exitCodes, ownCommand } from './output.ts';

export async function findRun(store: Store, name: string): Promise<RunRecord> {
  const exact = name === 'latest' ? null : await readRun(store, name).catch(() => null);
  if (exact !== null) return exact;
  const runs = await listRuns(store);
  if (runs.length === 0) {
    throw new CommandError(
      `There are no runs in ${store.url}. Start one with "${ownCommand('run', 'FILE')}", or name another store with --store or HARDCASE_STORE.`,
      exitCodes.usage,
    );
  }
  const matching = name === 'latest' ? runs.slice(0, 1) : runs.filter(({ header }) => header.run.startsWith(name));
  if (matching.length === 1) return matching[0]!;
  const ids = runs.map(({ header }) => header.run);
  if (matching.length > 1) {
    const begun = matching.map(({ header }) => header.run);
    throw new CommandError(
      `"${name}" may be any of ${begun.length} runs: ${begun.slice(0, 8).join(', ')}${begun.length > 8 ? ', …' : ''}. Give more of the id.`,
      exitCodes.usage,
    );
  }
  const near = didYouMean(name, ids);
  throw new CommandError(
    `There is no run "${name}" in ${store.url}. ${near ? `Did you mean "${near}"? ` : ''}Runs here: ${ids.slice(0, 8).join(', ')}${ids.length > 8 ? ', …' : ''}.`,
    exitCodes.usage,
  );
}
