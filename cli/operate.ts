/** `hardcase pause|resume|skip|reset RUN`: changes what a run does while it goes on. */

import { userInfo } from 'node:os';
import { readOperations, readRun, readStepRecords } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { findStep } from '../plan/paths.ts';
import type { RunHeader, StepRecord } from '../plan/types.ts';
import type { OperateAnswer, OperateMessage, OperationName } from '../workflows/messages.ts';
import { missingPart, stepPaths } from '../workflows/plan-paths.ts';
import { readChangedParameters } from './changed-parameters.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { pauseOf } from './operations.ts';
import { CommandError, didYouMean, type ExitCode, exitCodes, ownCommand, print, printJson } from './output.ts';
import { isFinal, readPlan } from './run-view.ts';
import type { Settings } from './settings.ts';

export interface OperateOptions {
  readonly by?: string;
  readonly reason?: string;
  readonly json?: boolean;
}

// Steps stop with a checkpoint within ten seconds, and say so at their next heartbeat.
const stopWaitMs = 20_000;

export async function runPause(
  settings: Settings,
  name: string,
  options: OperateOptions & { readonly now?: boolean },
): Promise<ExitCode> {
  const { store, header } = await openRun(settings, name);
  const { run } = header;
  const now = options.now === true;
  const before = pauseOf(await readOperations(store, run));
  if (before !== null && (!now || before.now === true)) {
    return tell(
      options,
      { run, paused: true, now: before.now === true },
      `Run ${run} is paused already, by ${before.by}.`,
    );
  }
  const runsNothing = async () => (await running(store, run)).length === 0;
  const send = { ...whoOf(options), ...(now ? { now } : {}) };
  const answer = await operate(settings, store, header, 'pause', send, now ? runsNothing : undefined, stopWaitMs);
  const left = await running(store, run);
  const rest =
    left.length === 0
      ? 'Nothing of it runs.'
      : now
        ? `Still stopping: ${left.join(', ')}.`
        : `What runs is finished first: ${left.join(', ')} ("--now" stops that at a checkpoint).`;
  return tell(
    options,
    { run, paused: true, now, running: left },
    `Run ${run} is paused: no step begins. ${rest}\nIt goes on with: ${ownCommand('resume', run)}`,
    answer.goOn === undefined ? undefined : `and then: ${answer.goOn}`,
  );
}

export async function runResume(settings: Settings, name: string, options: OperateOptions): Promise<ExitCode> {
  const { store, header } = await openRun(settings, name);
  const { run } = header;
  if (pauseOf(await readOperations(store, run)) === null) {
    throw new CommandError(`Run ${run} is not paused, so there is nothing to resume.`, exitCodes.input);
  }
  const isOn = async () => (await readRun(store, run))?.state.state !== 'paused';
  const answer = await operate(settings, store, header, 'resume', whoOf(options), isOn);
  return tell(options, { run, paused: false }, `Run ${run} goes on.`, goOnWords(answer));
}

export async function runSkip(
  settings: Settings,
  name: string,
  path: string,
  options: OperateOptions,
): Promise<ExitCode> {
  if (options.reason === undefined || options.reason.trim() === '') {
    throw new CommandError(
      '--reason: say why the step is not needed; it stands in the record and the report.',
      exitCodes.usage,
    );
  }
  const { store, header } = await openRun(settings, name);
  const { run } = header;
  await planStepOf(store, header, path);
  const records = await readStepRecords(store, run);
  const record = records.find((one) => one.path === path);
  if (record?.state === 'done' || record?.state === 'skipped') {
    throw new CommandError(`Step ${path} of ${run} is ${record.state} already.`, exitCodes.input);
  }
  const answer = await operate(settings, store, header, 'skip', { ...whoOf(options), path });
  return tell(
    options,
    { run, skipped: path },
    `Step ${path} of ${run} is skipped, and so is what needs its outputs.`,
    goOnWords(answer),
  );
}

export async function runReset(
  settings: Settings,
  name: string,
  path: string,
  words: readonly string[],
  options: OperateOptions,
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header, state } = await findRun(store, name);
  const { run } = header;
  const { plan, step } = await planStepOf(store, header, path);
  const set = readChangedParameters(words, path, step);
  const message = { ...whoOf(options), path, ...(set === undefined ? {} : { set }) };
  if (isFinal(state.state)) {
    const { beginAgain } = await import('./start-workflow.ts');
    await beginAgain(settings, store, header, plan, message);
    const goOn = ownCommand('run', header.file, '--run', run);
    return tell(
      options,
      { run, reset: path },
      `Run ${run} was ${state.state}, and begins again at ${path}.`,
      `Nothing runs it at the moment; it goes on with: ${goOn}`,
    );
  }
  const answer = await operate(settings, store, header, 'reset', message);
  return tell(
    options,
    { run, reset: path },
    `${path} of ${run}, and what depends on it, begin anew.`,
    goOnWords(answer),
  );
}

/** The run, which must be going on. */
async function openRun(settings: Settings, name: string): Promise<{ store: Store; header: RunHeader }> {
  const store = await openExistingStore(settings);
  const { header, state } = await findRun(store, name);
  if (!isFinal(state.state)) return { store, header };
  throw new CommandError(
    `Run ${header.run} is ${state.state}, so nothing of it goes on. See: ${ownCommand('status', header.run)}`,
    exitCodes.input,
  );
}

export async function planStepOf(store: Store, header: RunHeader, path: string) {
  const plan = await readPlan(store, header.planDigest);
  if (plan === null) {
    throw new CommandError(`The plan of run ${header.run} is not in the store ${store.url}.`, exitCodes.engine);
  }
  const step = findStep(plan.root, path);
  const missing = missingPart(plan.root, path);
  if (step !== null && missing === null) return { plan, step };
  if (missing !== null) throw new CommandError(`Run ${header.run} has no ${path}: ${missing}`, exitCodes.usage);
  const known = stepPaths(plan.root);
  const near = didYouMean(path, known);
  throw new CommandError(
    `Run ${header.run} has no step "${path}".${near ? ` Did you mean "${near}"?` : ''} Its steps: ${known.join(', ')}.`,
    exitCodes.usage,
  );
}

async function operate<Message extends OperateMessage>(
  settings: Settings,
  store: Store,
  header: RunHeader,
  name: OperationName,
  message: Message,
  hasHappened?: (answer: OperateAnswer) => Promise<boolean>,
  waitMs?: number,
) {
  const { sendOperation } = await import('./send-messages.ts');
  return await sendOperation(settings, store, header, name, message, hasHappened, waitMs);
}

export const whoOf = ({ by, reason }: OperateOptions): OperateMessage => ({
  by: by ?? userInfo().username,
  ...(reason === undefined ? {} : { reason }),
});

const running = async (store: Store, run: string): Promise<string[]> => runningSteps(await readStepRecords(store, run));

/** Steps that do something: a loop, legs and the steps of a file do what the steps in them do. */
export const runningSteps = (records: readonly StepRecord[]): string[] =>
  records.flatMap(({ path, kind, state }) => (state === 'running' && !holderKinds.has(kind) ? [path] : []));

const holderKinds: ReadonlySet<string> = new Set(['repeat', 'matrix', 'forEach', 'pipeline']);

const goOnWords = ({ goOn }: { readonly goOn?: string }): string | undefined =>
  goOn === undefined ? undefined : `Nothing runs it at the moment; it goes on with: ${goOn}`;

function tell(options: OperateOptions, json: object, ...lines: readonly (string | undefined)[]): ExitCode {
  if (options.json) printJson(json);
  else print(lines.filter((line) => line !== undefined).join('\n'));
  return exitCodes.done;
}
