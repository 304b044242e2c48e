/** `hardcase run FILE --upgrade`: lets a run that goes on follow its changed file, once it is proven that it can. */

import { resolve } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { listRuns, type RunRecord, readOperations, readRun, readStepRecords } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { canonicalJson } from '../plan/canonical.ts';
import { followFork } from '../plan/follow-fork.ts';
import { parsePath } from '../plan/paths.ts';
import { digestPlan } from '../plan/plan-digest.ts';
import type { OperationRecord, Plan, RunFile, RunHeader, StepRecord } from '../plan/types.ts';
import {
  problemsOfUpgrade,
  type RunSoFar,
  roundsWithin,
  stepsBegunAgain,
  type UpgradeProblem,
} from '../plan/upgrade.ts';
import {
  beginsAgain,
  compiledWorkflow,
  type OperateAnswer,
  type OperateMessage,
  scopeBytesMax,
  type UpgradeMessage,
  upgradeName,
} from '../workflows/messages.ts';
import { isOf } from './choose-run.ts';
import type { TemporalConnection } from './connect.ts';
import type { LoadedPlan } from './load-for-run.ts';
import { CommandError, exitCodes, ownCommand } from './output.ts';
import { planDiff } from './plan-diff.ts';
import { isFinal, readPlan } from './run-view.ts';
import { installRuntime } from './sdk-runtime.ts';
import type { Settings } from './settings.ts';

/** A run whose file has changed, as far as its record tells whether it can follow. */
export interface Upgrade {
  readonly header: RunHeader;
  /** That the run follows so far. */
  readonly before: Plan;
  readonly message: UpgradeMessage;
  /** Steps that have begun and begin again, with what is within them now. */
  readonly again: readonly string[];
  /** What the record says of the run by now. Throws where the run can't follow any more. */
  readonly progress: () => Promise<Progress>;
}

type Progress = Pick<UpgradeMessage, 'recorded' | 'rounds'>;

// The record is written right after the answer; a long loop is told first.
const recordWaitMs = 20_000;
// Of a run that the engine had lost: finished steps are found at a hundred a second.
const beginsWaitMs = 120_000;
const changesMax = 12;

/** The id of the newest run of the file that goes on. */
export async function runToUpgrade(store: Store, file: string): Promise<string> {
  const runs = await listRuns(store);
  const found = runs.find(({ header, state }) => resolve(header.file) === resolve(file) && !isFinal(state.state));
  if (found !== undefined) return found.header.run;
  throw new CommandError(
    `--upgrade: no run of ${file} goes on, so there is nothing to upgrade. Start one without it; results of steps that would do the same work again are reused.`,
    exitCodes.input,
  );
}

/** Null where the run follows the file already. Throws what speaks against it, with lines of the file. */
export async function planUpgrade(
  store: Store,
  run: string,
  file: string,
  { plan: inFile, planDigest, source, imports, given, lineOf }: LoadedPlan,
  who: OperateMessage,
): Promise<Upgrade | null> {
  const record = await readRun(store, run);
  if (record === null) {
    throw new CommandError(`--upgrade: there is no run "${run}" in ${store.url}.`, exitCodes.usage);
  }
  const { header } = record;
  if (isOf(header, planDigest)) return null;
  const before = await readPlan(store, header.planDigest);
  const problem = await problemOfRun(store, record, before, inFile);
  if (problem !== null) throw new CommandError(`--upgrade: ${problem}`, exitCodes.input);
  const fork = header.fork === undefined ? null : await planOfFork(store, record, before!, inFile);
  if (fork !== null && fork.edit.was === fork.edit.is) return null;
  const plan = fork?.plan ?? inFile;
  const progress = async (): Promise<Progress> => {
    const records = await readStepRecords(store, run);
    const soFar = soFarOf(records);
    const problems = problemsOfUpgrade(before!.root, plan.root, soFar);
    if (problems.length > 0) throw new CommandError(refusalOf(run, file, problems, lineOf), exitCodes.input);
    const rounds = roundsWithin(before!.root, plan.root, soFar);
    return { recorded: recordedIn(records), ...(Object.keys(rounds).length === 0 ? {} : { rounds }) };
  };
  const far = await progress();
  const changes = planDiff(before!, plan, changesMax, lineOf);
  const all = [...new Set([...(header.given ?? Object.keys(header.params)), ...given])];
  const facts: RunFile = {
    file,
    source,
    params: plan.params,
    given: all,
    ...(imports && { imports }),
    ...(fork && { edit: fork.edit }),
  };
  const fits = Buffer.byteLength(canonicalJson(plan.root)) <= scopeBytesMax;
  await store.putObject(Buffer.from(canonicalJson(plan)));
  const message = {
    ...who,
    planDigest: digestPlan(plan),
    file: facts,
    changes,
    ...far,
    ...(fits ? { scope: plan.root } : {}),
  };
  const again = stepsBegunAgain(before!.root, plan.root, soFarOf(await readStepRecords(store, run)));
  return { header, before: before!, message, again, progress };
}

/** In one line, because a part of a run has up to 500 steps. */
export function againWords(steps: readonly string[]): string {
  if (steps.length === 1) return `${steps[0]} begins again with it, and reuses what is finished in it.`;
  const more = steps.length > 6 ? ` and ${steps.length - 6} more` : '';
  return `${steps.slice(0, 6).join(', ')}${more} begin again with it, and reuse what is finished in them.`;
}

function refusalOf(
  run: string,
  file: string,
  problems: readonly UpgradeProblem[],
  lineOf: LoadedPlan['lineOf'],
): string {
  const lines = problems.map(({ step, why, places }) => {
    const line = step === '' ? undefined : (lineOf?.(`${step}.${places[0] ?? ''}`) ?? lineOf?.(step));
    return `  ${file}${line === undefined ? '' : `:${line}`}  ${step === '' ? `the run ${run}` : step} ${why}`;
  });
  return [
    `Run ${run} cannot follow the changed file, because the change is not in its future alone:`,
    ...lines,
    `Undo that part, and the rest can be applied; ${resetWords(run, problems[0]!)}or start a new run, which reuses what is unchanged: ${ownCommand('run', file, '--new')}`,
  ].join('\n');
}

/** What is said of the whole run is of no step that could begin again. */
function resetWords(run: string, { step, path = step }: UpgradeProblem): string {
  if (step === '') return '';
  return `or begin such a step again (${ownCommand('reset', run, '--to', path)}, with -p for other parameters); `;
}

async function problemOfRun(store: Store, { header, state }: RunRecord, before: Plan | null, plan: Plan) {
  const { run } = header;
  const anew = 'A new run reuses what is unchanged.';
  if (isFinal(state.state)) return `the run ${run} is ${state.state}, and has no future to change. ${anew}`;
  if (before === null) return `the plan ${header.planDigest} of the run ${run} is not in ${store.url}.`;
  if (before.pipeline !== plan.pipeline) {
    return `the run ${run} is one of the pipeline "${before.pipeline}", and the file's is named "${plan.pipeline}" now. ${anew}`;
  }
  if (before.seed !== plan.seed) {
    return `the seed changed (${before.seed} -> ${plan.seed}), and with it every step of the run ${run}. ${anew}`;
  }
  return null;
}

/** What the fork follows then, and the plans of its file before and after. */
async function planOfFork(store: Store, { header, state }: RunRecord, before: Plan, inFile: Plan) {
  const { run, fork, forkPlans } = header;
  const was = state.upgrades?.at(-1)?.edit?.is ?? forkPlans?.file;
  const planWas = was === undefined ? null : await readPlan(store, was);
  if (forkPlans === undefined || planWas === null) {
    throw new CommandError(
      `--upgrade: the fork ${run} was begun by an earlier release, which did not record what its plan was put together from. Fork again: ${ownCommand('fork', run, '--from', fork!.from)}`,
      exitCodes.input,
    );
  }
  const place = { from: parsePath(fork!.from)!, salt: forkPlans.salt };
  const root = followFork(before.root, { was: planWas.root, is: inFile.root }, place);
  await store.putObject(Buffer.from(canonicalJson(inFile)));
  return { plan: { ...inFile, root }, edit: { was: was!, is: digestPlan(inFile) } };
}

/** By the record, which also knows what ran under an engine that has forgotten the run. */
export function soFarOf(records: readonly StepRecord[]): RunSoFar {
  const hasEnded = ({ state }: StepRecord) => ['done', 'skipped', 'failed'].includes(state);
  const ended = records.filter(hasEnded).map(({ path }) => path);
  return {
    hasBegun: (id) => records.some(({ path }) => path === id || path.startsWith(`${id}[`) || path.startsWith(`${id}.`)),
    hasEnded: (id) => ended.includes(id),
    recorded: records.map(({ path }) => path),
    ended,
  };
}

/** Steps of the root that have begun, with the newest round of a loop. */
function recordedIn(records: readonly StepRecord[]): { readonly [id: string]: number } {
  const loops = new Set(records.flatMap(({ path, kind }) => (kind === 'repeat' ? [path] : [])));
  const newest: { [id: string]: number } = {};
  for (const { path } of records) {
    const [, id = '', round = '0'] = /^([^.[]*)(?:\[(\d+)\])?/.exec(path) ?? [];
    newest[id] = Math.max(newest[id] ?? 0, loops.has(id) ? Number(round) : 0);
  }
  return newest;
}

/** Proves it on the run's history, sends it, and answers once the record shows it: the first round that changes, by loop. */
export async function sendUpgrade(
  settings: Settings,
  store: Store,
  temporal: TemporalConnection,
  handle: WorkflowHandle,
  { header, message, progress }: Upgrade,
): Promise<NonNullable<OperationRecord['from']>> {
  const { run } = header;
  // First, because a history may replay with the interpreter by chance.
  if (await isCompiled(handle, message)) {
    const [{ file }, code] = [message.file, `${run}.ts`];
    throw new CommandError(
      `Run ${run} cannot follow the changed file, and goes on as it was: it has ${compiledWorkflow}, whose steps stand in its code. Compile the file, start a worker with that, and a new run, which reuses what is unchanged: ${ownCommand('compile', file, '--out', code)}; ${ownCommand('worker', '--workflows', code)}; ${ownCommand('run', file, '--new')}`,
      exitCodes.input,
    );
  }
  await installRuntime(settings);
  const { problemOfUpgradeIn } = await import('../deploy/prove-upgrade.ts');
  const { defaultBundlePath } = await import('../deploy/worker.ts');
  const plan = await readPlan(store, message.planDigest);
  const proof = { ...message, scope: plan!.root };
  const deadline = Date.now() + beginsWaitMs;
  const ask = () => problemOfUpgradeIn(temporal.client, defaultBundlePath(), run, proof);
  let problem = await ask();
  while (problem?.includes(beginsAgain) && Date.now() < deadline) {
    await new Promise((done) => setTimeout(done, 1_000));
    problem = await ask();
  }
  if (problem !== null) {
    throw new CommandError(
      `Run ${run} cannot follow the changed file, and goes on as it was. ${problem}`,
      exitCodes.input,
    );
  }
  const { WorkflowUpdateFailedError } = await import('@temporalio/client');
  let answer: OperateAnswer;
  try {
    // The run went on meanwhile.
    const now = { ...message, ...(await progress()) };
    answer = await handle.executeUpdate<OperateAnswer, [UpgradeMessage]>(upgradeName, { args: [now] });
  } catch (error) {
    if (!(error instanceof WorkflowUpdateFailedError)) throw error;
    throw new CommandError(
      `Run ${run} cannot follow the changed file any more, and goes on as it was. ${error.cause?.message ?? error.message}`,
      exitCodes.input,
      error,
    );
  }
  const recordedBy = Date.now() + recordWaitMs;
  while (Date.now() < recordedBy) {
    const record = (await readOperations(store, run)).find(({ at }) => at === answer.at);
    if (record !== undefined) return record.from ?? {};
    await new Promise((done) => setTimeout(done, 150));
  }
  return {};
}

/** Asks the run itself, which refuses whatever is only a proof. */
async function isCompiled(handle: WorkflowHandle, message: UpgradeMessage): Promise<boolean> {
  const proof: UpgradeMessage = { ...message, proof: true };
  return await handle.executeUpdate<OperateAnswer, [UpgradeMessage]>(upgradeName, { args: [proof] }).then(
    () => false,
    (error: Error) => String((error.cause as Error | undefined)?.message).includes(compiledWorkflow),
  );
}
