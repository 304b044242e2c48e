/** Which run a plan belongs to: a given id, the newest unfinished one of the same plan, or a new one. */

import { randomInt } from 'node:crypto';
import { createRun, listOpenRuns, RUN_ID_PATTERN, readRun } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import type { Plan, RunHeader } from '../plan/types.ts';
import type { LineOf } from './file-lines.ts';
import { CommandError, exitCodes } from './output.ts';
import { planDiff } from './plan-diff.ts';
import { readPlan } from './run-view.ts';

export interface ChosenRun {
  readonly header: RunHeader;
  readonly how: 'new' | 'joined' | 'found';
}

export interface RunWish {
  /** The id asked for. */
  readonly run?: string;
  /** A new id, even where an unfinished run has the same plan. */
  readonly forceNew: boolean;
  readonly lineOf?: LineOf;
}

/** Whether the plan is that of the run's file, as it is or as an upgrade has it. */
export const isOf = ({ planDigest, filePlan }: RunHeader, digest: string): boolean =>
  planDigest === digest || filePlan === digest;

export type RunDraft = Omit<RunHeader, 'run' | 'createdAt' | 'pipeline' | 'params'>;

/** A mistyped id must be told before gigabytes are read for it. */
export function checkRunId(run: string): void {
  if (RUN_ID_PATTERN.test(run)) return;
  throw new CommandError(
    `--run: "${run}" cannot be a run id. Use letters, digits, dots, dashes and underscores, at most 100, beginning with a letter or digit.`,
    exitCodes.usage,
  );
}

/** The run to go on with, or null where a new one must be created. Writes nothing. */
export async function findEarlierRun(
  store: Store,
  wish: RunWish,
  plan: Plan,
  planDigest: string,
): Promise<ChosenRun | null> {
  if (wish.run !== undefined) {
    const other = await readRun(store, wish.run);
    if (other === null) return null;
    if (wish.forceNew) {
      throw new CommandError(
        `--new: there is a run "${wish.run}" already. Leave --new out to join it, or give another id.`,
        exitCodes.usage,
      );
    }
    if (!isOf(other.header, planDigest)) throw await otherPlan(store, other.header, plan, wish);
    return { header: other.header, how: 'joined' };
  }
  if (wish.forceNew) return null;
  const found = (await listOpenRuns(store)).find(({ header }) => isOf(header, planDigest));
  return found === undefined ? null : { header: found.header, how: 'found' };
}

export async function createNewRun(store: Store, wish: RunWish, plan: Plan, draft: RunDraft): Promise<ChosenRun> {
  const headerOf = (run: string): RunHeader => ({
    ...draft,
    run,
    pipeline: plan.pipeline,
    params: plan.params,
    createdAt: new Date().toISOString(),
  });
  if (wish.run !== undefined) {
    // The store decides: of two commands that start the same id at once, one creates it and the other joins.
    const header = headerOf(wish.run);
    const other = await createRun(store, header);
    if (other === 'created') return { header, how: 'new' };
    if (other.planDigest !== draft.planDigest) throw await otherPlan(store, other, plan, wish);
    return { header: other, how: 'joined' };
  }
  for (;;) {
    const header = headerOf(newRunId(plan.pipeline));
    if ((await createRun(store, header)) === 'created') return { header, how: 'new' };
  }
}

/** `quickstart-20260301-k3f9`: says what and when, and is short enough to type. */
function newRunId(pipeline: string): string {
  const now = new Date();
  const day = [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, '0'));
  // Without characters that look alike.
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789';
  const tail = Array.from({ length: 4 }, () => letters[randomInt(letters.length)]).join('');
  return `${pipeline.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 80)}-${day.join('')}-${tail}`;
}

async function otherPlan(store: Store, other: RunHeader, plan: Plan, { lineOf }: RunWish): Promise<CommandError> {
  const before = await readPlan(store, other.planDigest);
  const differences =
    before === null ? [`its plan ${other.planDigest} is not in the store`] : planDiff(before, plan, 12, lineOf);
  return new CommandError(
    [
      `The run id "${other.run}" belongs to another plan (of ${other.file}). What differs, from that run to this file:`,
      ...differences.map((line) => `  ${line}`),
      'Undo the change; or let the run follow it from where it is, with --upgrade; or give another id, or none: results of unchanged steps are reused in a new run too.',
    ].join('\n'),
    exitCodes.input,
  );
}
