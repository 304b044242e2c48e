/** Which run a plan belongs to: a given id, the newest unfinished one of the same plan, or a new one. */

import { randomInt } from 'node:crypto';
import { createRun, listRuns, RUN_ID_PATTERN, readRun } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import type { Plan, RunHeader } from '../plan/types.ts';
import { CommandError, exitCodes, ownCommand } from './output.ts';
import { planDiff } from './plan-diff.ts';
import { isFinal, readPlan } from './run-view.ts';

export interface ChosenRun {
  readonly header: RunHeader;
  readonly how: 'new' | 'joined' | 'found';
}

export interface RunWish {
  /** The id asked for. */
  readonly run?: string;
  /** A new id, even where an unfinished run has the same plan. */
  readonly forceNew: boolean;
}

export async function chooseRun(
  store: Store,
  wish: RunWish,
  plan: Plan,
  draft: Omit<RunHeader, 'run' | 'createdAt' | 'pipeline' | 'params'>,
): Promise<ChosenRun> {
  const headerOf = (run: string): RunHeader => ({
    ...draft,
    run,
    pipeline: plan.pipeline,
    params: plan.params,
    createdAt: new Date().toISOString(),
  });
  if (wish.run !== undefined) {
    if (!RUN_ID_PATTERN.test(wish.run)) {
      throw new CommandError(
        `--run: "${wish.run}" cannot be a run id. Use letters, digits, dots, dashes and underscores, at most 100, beginning with a letter or digit.`,
        exitCodes.usage,
      );
    }
    if (wish.forceNew && (await readRun(store, wish.run)) !== null) {
      throw new CommandError(
        `--new: there is a run "${wish.run}" already. Leave --new out to join it, or give another id.`,
        exitCodes.usage,
      );
    }
    // The store decides: of two commands that start the same id at once, one creates it and the other joins.
    const header = headerOf(wish.run);
    const other = await createRun(store, header);
    if (other === 'created') return { header, how: 'new' };
    if (other.planDigest !== draft.planDigest) throw await otherPlan(store, other, plan);
    return { header: other, how: 'joined' };
  }
  if (!wish.forceNew) {
    const found = (await listRuns(store)).find(
      ({ header, state }) => header.planDigest === draft.planDigest && !isFinal(state.state),
    );
    if (found !== undefined) return { header: found.header, how: 'found' };
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

async function otherPlan(store: Store, other: RunHeader, plan: Plan): Promise<CommandError> {
  const before = await readPlan(store, other.planDigest);
  const differences = before === null ? [`its plan ${other.planDigest} is not in the store`] : planDiff(before, plan);
  return new CommandError(
    [
      `The run id "${other.run}" belongs to another plan (of ${other.file}). What differs, from that run to this file:`,
      ...differences.map((line) => `  ${line}`),
      `Give another id or none (${ownCommand('run', other.file)}), or undo the change. Results of unchanged steps are reused in a new run too.`,
    ].join('\n'),
    exitCodes.input,
  );
}
