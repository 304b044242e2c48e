/** Runs the steps of a scope that has too many for one workflow: its parts as child workflows, each after those it needs; an upgrade changes which. */

import { CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import { partsOfScope } from '../plan/step-events.ts';
import type { PlannedScope, PlannedStep } from '../plan/types.ts';
import { samePart } from '../plan/upgrade.ts';
import type { ScopeContext } from './execute-step.ts';
import { distantRoot, openMailbox, receiveChildStates, tellParent } from './mailbox.ts';
import { runChild } from './run-child.ts';
import { runScope } from './run-scope.ts';
import { type Bindings, type PartArguments, type PartResult, type Values, visibleTo } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

/** As `runScope`. A step that is held holds the parts that need its part. `name` is what their paths have behind the scope's. */
export async function runParts(
  scope: PlannedScope,
  context: ScopeContext,
  outer: Bindings,
  made: { [id: string]: Values },
  name = '#',
): Promise<Bindings> {
  const steps: { [id: string]: Values } = { ...outer.steps };
  for (const { id } of scope.steps) delete steps[id];
  const { orders } = context.mailbox;
  const around = CancellationScope.current();
  let parts: Part[] = [];
  let changes = 0;
  const run = async (part: Part, at: number, all: readonly Part[], stopped: readonly Part[]): Promise<void> => {
    // A step of theirs may be one of these.
    await Promise.allSettled(stopped.map(({ end }) => end));
    const own = new Set(part.steps.map(({ id }) => id));
    const needs = new Set(part.steps.flatMap((step) => step.needs));
    for (const need of all) if (need !== part && need.steps.some(({ id }) => needs.has(id))) await need.end;
    if ([...own].every((id) => orders.hasEnded(id))) return;
    part.hasBegun = true;
    const result = await runChild<PartResult>(context, `${context.path}${name}${at + 1}`, {
      role: 'part',
      owner: context.path,
      scope: { steps: part.steps },
      bindings: visibleTo(part.steps, { ...outer, steps }),
    });
    Object.assign(steps, result.made);
    Object.assign(made, result.made);
    for (const id of own) {
      orders.stepBegan(id);
      orders.stepEnded(id);
    }
  };
  const follow = (next: PlannedScope): Promise<void>[] => {
    const before = parts;
    const stays = (part: Part | undefined, now: readonly PlannedStep[]) =>
      part?.hasBegun === true && samePart(part.steps, now) ? part : null;
    parts = partsOfScope(next).map((now, at) => stays(before[at], now) ?? partOf(now, around));
    const stopped = before.filter((part) => !parts.includes(part));
    for (const { work } of stopped) work.cancel();
    for (const [at, part] of parts.entries()) {
      if (!before.includes(part)) part.end = part.work.run(() => run(part, at, parts, stopped));
    }
    changes++;
    return stopped.map(({ end }) => end);
  };
  follow(scope);
  if (context.path === '' && name === '#') orders.onUpgrade(follow);
  // All must have ended before a failure goes up, so that nothing is left behind.
  const failures = await settled(() => [parts.map(({ end }) => end), changes]);
  if (failures.length > 0) throw failures.find((failure) => !isCancellation(failure)) ?? failures[0];
  return { ...outer, steps };
}

interface Part {
  readonly steps: readonly PlannedStep[];
  readonly work: CancellationScope;
  hasBegun: boolean;
  end: Promise<void>;
}

const partOf = (steps: readonly PlannedStep[], parent: CancellationScope): Part => ({
  steps,
  work: new CancellationScope({ cancellable: true, parent }),
  hasBegun: false,
  end: Promise.resolve(),
});

/** What failed, once all have ended; `now` answers others, with another number, where others are to be waited for. */
async function settled(now: () => [ends: readonly Promise<unknown>[], number: number]): Promise<unknown[]> {
  for (;;) {
    const [ends, number] = now();
    let results: PromiseSettledResult<unknown>[] | undefined;
    void Promise.allSettled(ends).then((all) => {
      results = all;
    });
    // Also in a cancelled scope, whose parts end soon.
    await CancellationScope.nonCancellable(() => condition(() => results !== undefined || now()[1] !== number));
    if (now()[1] !== number) continue;
    return results!.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  }
}

/** The child: its steps have the paths that they would have without parts. */
export async function runPart({ scope, bindings, path, owner, role: _, ...facts }: PartArguments): Promise<PartResult> {
  const state = openScopeState((published) => tellParent(path, published));
  const mailbox = openMailbox(facts);
  receiveChildStates(state, mailbox);
  const made: { [id: string]: Values } = {};
  // It is one of many.
  const within = { ...facts, bundled: true } as const;
  const context = { ...within, path: owner, state, mailbox, root: distantRoot(within, mailbox) };
  try {
    await runScope(scope, context, bindings, made);
    return { made };
  } finally {
    state.close();
    await mailbox.relay.close();
  }
}
