/** `hardcase gc`: shows what the store holds that nothing needs, and with --delete removes it. */

import { findGarbage, type Garbage, type GarbageRules, type Removed, removeGarbage } from '../artifacts/garbage.ts';
import { GarbageLockedError, lockGarbage } from '../artifacts/garbage-lock.ts';
import type { Store } from '../artifacts/store.ts';
import { durationForm, parseDurationMs } from '../spec/duration.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import {
  CommandError,
  type ExitCode,
  exitCodes,
  formatBytes,
  formatMoment,
  ownCommand,
  print,
  printJson,
} from './output.ts';
import type { Settings } from './settings.ts';

export interface GcOptions {
  readonly delete: boolean;
  /** Duration; absent: no run goes. */
  readonly olderThan?: string;
  readonly keep: readonly string[];
  readonly grace: string;
  readonly json?: boolean;
}

const runsShown = 20;

export async function runGc(settings: Settings, options: GcOptions): Promise<ExitCode> {
  const rules = await rulesOf(options, () => openExistingStore(settings));
  const store = await openExistingStore(settings);
  const unlock = options.delete ? await lock(store) : async () => {};
  try {
    const found = await findGarbage(store, rules);
    const removed = options.delete ? await removeGarbage(store, rules, found) : null;
    if (options.json) printJson(jsonOf(found, removed));
    else print(removed === null ? foundText(found, options) : removedText(removed, found));
    return exitCodes.done;
  } finally {
    await unlock();
  }
}

async function rulesOf(options: GcOptions, open: () => Promise<Store>): Promise<GarbageRules> {
  const graceMs = duration('--grace', options.grace);
  if (options.olderThan === undefined) {
    if (options.keep.length === 0) return { olderThanMs: null, keep: new Set(), graceMs };
    throw new CommandError(
      '--keep names runs that stay, but without --older-than all of them do. Add --older-than, such as --older-than 30d.',
      exitCodes.usage,
    );
  }
  const olderThanMs = duration('--older-than', options.olderThan);
  const keep = new Set<string>();
  if (options.keep.length > 0) {
    const store = await open();
    for (const name of options.keep) keep.add((await findRun(store, name)).header.run);
  }
  return { olderThanMs, keep, graceMs };
}

function duration(flag: string, text: string): number {
  const ms = parseDurationMs(text);
  if (ms !== null) return ms;
  throw new CommandError(`${flag} is "${text}"; expected ${durationForm}.`, exitCodes.usage);
}

async function lock(store: Store): Promise<() => Promise<void>> {
  try {
    return await lockGarbage(store);
  } catch (error) {
    if (!(error instanceof GarbageLockedError)) throw error;
    throw new CommandError(error.message, exitCodes.engine, error);
  }
}

function foundText(found: Garbage, { olderThan, grace }: GcOptions): string {
  const { runs, records, objects, kept, young } = found;
  const bytes = objects.reduce((sum, object) => sum + object.bytes, 0);
  const lines: string[] = [];
  if (olderThan !== undefined) {
    lines.push(`Runs that ended more than ${olderThan} ago: ${runs.length}`);
    for (const { run, state, endedAt } of runs.slice(0, runsShown)) {
      lines.push(`  ${run} (${state}${endedAt === undefined ? '' : `, ended ${formatMoment(endedAt)}`})`);
    }
    if (runs.length > runsShown) lines.push(`  and ${runs.length - runsShown} more`);
  }
  const isClean = objects.length + records.length === 0;
  if (!isClean) {
    lines.push(
      `Nothing that stays needs ${counted(objects.length, 'object')} (${formatBytes(bytes)}) and ${counted(records.length, 'record')}.`,
    );
  }
  if (young.objects > 0) {
    lines.push(
      `${counted(young.objects, 'more object')} (${formatBytes(young.bytes)}) may go later: younger than ${grace}, they may belong to a step that still runs.`,
    );
  }
  lines.push(
    `${counted(kept.objects, 'object')} (${formatBytes(kept.bytes)}) ${kept.objects === 1 ? 'stays' : 'stay'}.`,
  );
  const words = process.argv.slice(3).filter((word) => word !== '--delete');
  lines.push(
    isClean
      ? 'There is nothing to remove.'
      : `Nothing was removed. To remove it: ${ownCommand('gc', ...words, '--delete')}`,
  );
  return lines.join('\n');
}

function removedText({ runs, records, objects, bytes }: Removed, { kept }: Garbage): string {
  const ofRuns = runs > 0 ? `, with them ${counted(runs, 'run')}` : '';
  return `Removed ${counted(objects, 'object')} (${formatBytes(bytes)}) and ${counted(records, 'record')}${ofRuns}. ${formatBytes(kept.bytes)} are left.`;
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

function jsonOf({ runs, records, objects, kept, young }: Garbage, removed: Removed | null): object {
  const bytes = objects.reduce((sum, object) => sum + object.bytes, 0);
  return { runs, records: records.length, objects: objects.length, bytes, kept, young, removed };
}
