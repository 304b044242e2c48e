/** `search-capacity`: trials of different sizes as a child workflow, the losing ones stopped early, then the choice. */

import { ApplicationFailure, allHandlersFinished, condition, continueAsNew } from '@temporalio/workflow';
import type { Json, SearchStep, StepRequest, StepResult } from '../plan/types.ts';
import { control } from './control.ts';
import { callStep, holdUntilDone, type ScopeContext, stepRequest } from './execute-step.ts';
import { type Halving, type Rung, rungsOf } from './halving.ts';
import { distantRoot, openMailbox, tellParent } from './mailbox.ts';
import { inPlaceOf, runChild } from './run-child.ts';
import { runTrialsByStanding, type TrialActions } from './run-trials.ts';
import type { SearchArguments, SearchResult, Values } from './scope-messages.ts';
import { openScopeState } from './scope-state.ts';

/** Their results travel together, and at 2 MiB Temporal refuses what travels. */
const trialsMax = 1_000;

/** As in schemas/steps/search-capacity.schema.json, for plans that do not say it. */
const halvingDefaults: Halving = { eta: 3, minEpochs: 5, finalists: 2 };
const sizeDefaults = { depth: [0.33], width: [0.125, 0.25], imageSize: [320], anchors: [3] };
const epochsDefault = 30;

type SizeName = keyof typeof sizeDefaults;
type Size = { readonly [name in SizeName]: number };

export async function searchCapacity(
  { kind, version, type, queue, timeoutMs, heartbeatMs, retry, onFailure, fresh, id, renewAfter }: SearchStep,
  request: StepRequest,
  context: ScopeContext,
): Promise<StepResult> {
  // The search is looked up as a whole first, because its result stays when a trial's record is not at hand.
  const earlier = await control('reuse-step', request);
  if (earlier !== null) return earlier;
  const result = await inPlaceOf(context, request.path, () =>
    runChild<SearchResult>(context, request.path, {
      role: 'search',
      step: {
        id,
        kind,
        version,
        type,
        queue,
        timeoutMs,
        heartbeatMs,
        retry,
        onFailure,
        renewAfter,
        ...(fresh && { fresh }),
      },
      with: request.with,
    }),
  );
  return control('finish-step', { step: request, result });
}

/** The child: of the trials a train worker takes one at a time; each is reused and held by itself. */
export async function runTrials(args: SearchArguments): Promise<SearchResult> {
  const { step, path, with: inputs, before, role: _role, ...facts } = args;
  const state = openScopeState((published) => tellParent(path, published));
  // It goes on in a new history by itself.
  const mailbox = openMailbox({ ...facts, wornAfter: undefined });
  const context = { ...facts, path, state, mailbox, root: distantRoot(facts, mailbox) };
  const { depth: _, width: __, imageSize: ___, anchors: ____, choose, strategy, halving, ...training } = inputs;
  const sizes = sizesOf(inputs, path);
  const epochs = typeof training.epochs === 'number' ? training.epochs : epochsDefault;
  const rungs =
    strategy === 'halving'
      ? rungsOf(sizes.length, epochs, { ...halvingDefaults, ...(halving as Partial<Halving> | undefined) })
      : [];
  // A path, and so a seed, says the size and not the place in the grid: a larger grid redoes only what is new.
  const pathOf = ({ depth, width, imageSize, anchors }: Size) =>
    `${path}.trial[${depth},${width},${imageSize},${anchors}]`;
  const part = async (kind: string, partPath: string, values: Values): Promise<StepResult> => {
    const request = stepRequest(facts, { ...step, path: partPath, kind, with: values });
    const { queue, timeoutMs, heartbeatMs, retry, onFailure } = step;
    const train = (holds: number) =>
      callStep<StepResult>(
        context,
        partPath,
        { activity: kind, queue, timeoutMs, heartbeatMs, retry, holds },
        request,
        true,
      );
    return holdUntilDone(context, { path: partPath, kind }, train, onFailure);
  };
  try {
    const actions: TrialActions = {
      run: (trial, rung) => {
        const size = sizes[trial]!;
        const values = { ...training, ...size };
        const until = rungs[rung]?.epoch;
        if (until === undefined) return part('capacity-trial', pathOf(size), values);
        return part('capacity-rung', pathOf(size), { ...values, until });
      },
      waiting: (trials) =>
        control('count-waiting', { run: facts.run, paths: trials.map((trial) => pathOf(sizes[trial]!)) }),
      running: () => state.running(),
      stopped: async (trial, rung, outputs) => {
        const change = {
          path: pathOf(sizes[trial]!),
          kind: 'capacity-trial',
          state: 'done',
          outputs,
          note: stopNote(rungs[rung]!, epochs),
        } as const;
        await control('record-step', { run: facts.run, change });
      },
    };
    const outcome = await runTrialsByStanding(sizes.length, rungs, actions, { renewAfter: step.renewAfter, before });
    if ('told' in outcome) {
      await condition(allHandlersFinished);
      return await continueAsNew<(next: SearchArguments) => Promise<SearchResult>>({
        ...args,
        orders: mailbox.orders.standing,
        before: outcome,
      });
    }
    const { ended, stopped } = outcome;
    const chosen = await part('choose-capacity', `${path}.choose`, {
      dataset: training.dataset ?? null,
      choose: choose ?? 'one-se',
      trials: ended.map(({ outputs }) => outputs),
      ...(stopped.length === 0
        ? {}
        : { stopped: stopped.map(({ trial, outputs }) => stoppedRow(sizes[trial]!, outputs)) }),
      ...(rungs.length === 0 ? {} : { rungs: rungs as unknown as Json }),
    });
    return { outputs: chosen.outputs, reused: chosen.reused && ended.every(({ reused }) => reused) };
  } finally {
    state.close();
    await mailbox.relay.close();
  }
}

/** As in `Trials['stopped']`. */
function stoppedRow(size: Size, { epoch, ...outputs }: Values): Json {
  return { ...size, ...outputs, epochs: epoch ?? null };
}

function stopNote({ epoch, compared, kept }: Rung, epochs: number): string {
  return `stopped at epoch ${epoch} of ${epochs}: not among the best ${kept} of ${compared} there`;
}

/** All combinations, in the order of the lists; what is given twice counts once. */
function sizesOf(inputs: Values, path: string): Size[] {
  let sizes: Partial<Size>[] = [{}];
  for (const name of Object.keys(sizeDefaults) as SizeName[]) {
    const values = numbers(inputs[name] ?? sizeDefaults[name], path, name);
    sizes = sizes.flatMap((size) => values.map((value) => ({ ...size, [name]: value })));
  }
  if (sizes.length > trialsMax) {
    throw ApplicationFailure.nonRetryable(
      `The capacity search "${path}" has ${sizes.length} trials; at most ${trialsMax} are possible. Give shorter lists.`,
      'BadData',
    );
  }
  return sizes as Size[];
}

function numbers(given: Json, path: string, name: string): readonly number[] {
  const list = Array.isArray(given) ? (given as readonly Json[]) : [given];
  if (list.length > 0 && list.every((item) => typeof item === 'number')) return [...new Set(list as number[])];
  throw ApplicationFailure.nonRetryable(
    `The capacity search "${path}" has ${name} ${JSON.stringify(given)}; expected a number or a list of numbers.`,
    'ExpressionFailed',
  );
}
