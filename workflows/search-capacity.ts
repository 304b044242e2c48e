/** `search-capacity`: one activity a pair of depth and width, as a child workflow, then the choice among them. */

import { ApplicationFailure } from '@temporalio/workflow';
import type { Json, SearchStep, StepRequest, StepResult } from '../plan/types.ts';
import { control } from './control.ts';
import { callStep, holdUntilDone, type ScopeContext, stepRequest } from './execute-step.ts';
import { distantRoot, openMailbox, tellParent } from './mailbox.ts';
import { runChild } from './run-child.ts';
import type { SearchArguments, SearchResult, Values } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

export async function searchCapacity(
  { kind, version, type, queue, timeoutMs, heartbeatMs, retry, onFailure, id }: SearchStep,
  request: StepRequest,
  context: ScopeContext,
): Promise<StepResult> {
  // The search is looked up as a whole first, because its result stays when a trial's record is not at hand.
  const earlier = await control('reuse-step', request);
  if (earlier !== null) return earlier;
  const result = await runChild<SearchResult>(context, request.path, request.path, {
    role: 'search',
    step: { id, kind, version, type, queue, timeoutMs, heartbeatMs, retry, onFailure },
    with: request.with,
  });
  return control('finish-step', { step: request, result });
}

/** The child: all trials at once, of which a train worker takes one at a time; each is reused and held by itself. */
export async function runTrials({ step, path, with: inputs, ...facts }: SearchArguments): Promise<SearchResult> {
  const state = openScopeState((published) => tellParent(path, published));
  const context = { ...facts, path, state, mailbox: openMailbox(), root: distantRoot(facts.run) };
  const { depth, width, choose, ...training } = inputs;
  const pairs = numbers(depth, path, 'depth').flatMap((d) => numbers(width, path, 'width').map((w) => [d, w] as const));
  const part = async (kind: string, partPath: string, values: Values): Promise<StepResult> => {
    const request = stepRequest(facts, { path: partPath, kind, version: step.version, with: values });
    const { queue, timeoutMs, heartbeatMs, retry } = step;
    return holdUntilDone(context, { path: partPath, kind }, (holds) =>
      callStep({ activity: kind, queue, timeoutMs, heartbeatMs, retry, holds }, request),
    );
  };
  try {
    const trials = await Promise.allSettled(
      pairs.map(([d, w]) => part('capacity-trial', `${path}.trial[${d},${w}]`, { ...training, depth: d, width: w })),
    );
    const ended = trials.map((trial) => {
      if (trial.status === 'rejected') throw trial.reason;
      return trial.value;
    });
    const chosen = await part('choose-capacity', `${path}.choose`, {
      dataset: training.dataset ?? null,
      choose: choose ?? 'one-se',
      trials: ended.map(({ outputs }) => outputs),
    });
    return { outputs: chosen.outputs, reused: chosen.reused && ended.every(({ reused }) => reused) };
  } finally {
    state.close();
  }
}

function numbers(list: Json | undefined, path: string, name: string): readonly number[] {
  if (Array.isArray(list) && list.length > 0 && list.every((item) => typeof item === 'number')) return list as number[];
  throw ApplicationFailure.nonRetryable(
    `The capacity search "${path}" has ${name} ${JSON.stringify(list)}; expected a list of numbers.`,
    'ExpressionFailed',
  );
}
