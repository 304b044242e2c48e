/** What a simulated run did against what its test expects: one line for each thing that is otherwise. */

import type { Json, Plan } from '../plan/types.ts';
import { isArtifactRef } from '../plan/types.ts';
import { matches, type SimulatedRun, type SimulatedStep } from '../simulate/run-plan.ts';
import { parseDurationMs } from '../spec/duration.ts';
import type { Range } from '../spec/types.ts';
import { formatDuration } from './output.ts';
import { type PipelineTest, splitName } from './test-file.ts';

export interface Mismatch {
  /** Of the expectation in the test file. */
  readonly range: Range;
  readonly message: string;
}

export function mismatchesOf({ expect, plan, rangeOf }: PipelineTest, run: SimulatedRun): Mismatch[] {
  const found: Mismatch[] = [];
  const differs = (keys: readonly (string | number)[], message: string) =>
    found.push({ range: rangeOf(...keys), message });
  const state = expect.state ?? 'done';
  if (run.state !== state) {
    const why = run.error ?? run.steps.find((step) => step.state === 'held')?.error;
    differs(['state'], `The run should be ${state}, but is ${run.state}${why === undefined ? '' : `: ${why}`}.`);
  }
  for (const [path, wanted] of Object.entries(expect.steps ?? {})) {
    const states = stepsAt(run, path).map((step) => (step.state === 'pending' ? 'absent' : step.state));
    const is = states.length === 0 ? ['absent'] : states;
    const wrong = is.find((each) => each !== wanted);
    if (wrong !== undefined)
      differs(['steps', path], `${path} should be ${wanted}, but is ${wrong}${reasonOf(run, path)}.`);
  }
  for (const part of ['outputs', 'inputs'] as const) {
    for (const [name, wanted] of Object.entries(expect[part] ?? {})) {
      const is = valueAt(plan, run, part, name);
      if (is === undefined) differs([part, name], `${name} is not there${reasonOf(run, name)}.`);
      else if (!same(is, wanted)) differs([part, name], `${name} should be ${show(wanted)}, but is ${show(is)}.`);
    }
  }
  checkOrder(expect.order ?? [], run, differs);
  for (const [path, wanted] of Object.entries(expect.rounds ?? {})) {
    const outputs = run.steps.find((step) => step.path === path)?.outputs;
    const is = Number(outputs?.rounds ?? outputs?.legs ?? 0);
    if (is !== wanted) differs(['rounds', path], `${path} should have ${wanted} rounds, but has ${is}.`);
  }
  for (const [kind, wanted] of Object.entries(expect.runs ?? {})) {
    const paths = run.calls.filter(({ activity }) => activity === kind).map(({ path }) => path);
    if (paths.length === wanted) continue;
    const list = paths.length === 0 ? '' : `: ${paths.join(', ')}`;
    differs(['runs', kind], `${kind} should run ${times(wanted)}, but runs ${times(paths.length)}${list}.`);
  }
  for (const [path, wanted] of Object.entries(expect.attempts ?? {})) {
    const is = stepsAt(run, path).reduce((sum, { attempts }) => sum + attempts, 0);
    if (is !== wanted) differs(['attempts', path], `${path} should be tried ${times(wanted)}, but is ${times(is)}.`);
  }
  checkTime(expect.took, run, differs);
  for (const [i, text] of (expect.notices ?? []).entries()) {
    if (run.notices.some((notice) => notice.includes(text))) continue;
    const list = run.notices.length === 0 ? 'There are none' : `Notices: ${run.notices.join(' | ')}`;
    differs(['notices', i], `No notice has "${text}". ${list}.`);
  }
  if (expect.error !== undefined) {
    const errors = [run.error, ...run.steps.map(({ error }) => error)].filter((error) => error !== undefined);
    if (!errors.some((error) => error.includes(expect.error!))) {
      differs(
        ['error'],
        `Nothing fails with "${expect.error}"${errors.length === 0 ? '' : `; errors: ${errors.join(' | ')}`}.`,
      );
    }
  }
  return found;
}

type Differs = (keys: readonly (string | number)[], message: string) => void;

const stepsAt = (run: SimulatedRun, path: string): readonly SimulatedStep[] =>
  run.steps.filter((step) => matches(path, step.path));

function checkOrder(order: readonly string[], run: SimulatedRun, differs: Differs): void {
  for (const [i, path] of order.entries()) {
    const [step] = stepsAt(run, path);
    if (step === undefined || step.state === 'pending') {
      differs(['order', i], `${path} never began.`);
      continue;
    }
    const before = i === 0 ? undefined : stepsAt(run, order[i - 1]!)[0];
    if (before === undefined) continue;
    // In time; of what has no length in time, in the order of the record.
    const later = before.endedMs !== undefined && step.startedMs >= before.endedMs;
    if (!later || run.steps.indexOf(step) < run.steps.indexOf(before)) {
      differs(['order', i], `${path} should begin when ${before.path} has ended, but begins before.`);
    }
  }
}

function checkTime(took: PipelineTest['expect']['took'], { tookMs }: SimulatedRun, differs: Differs): void {
  if (took === undefined) return;
  const { atLeast, atMost } = typeof took === 'string' ? { atLeast: took, atMost: took } : took;
  const is = formatDuration(tookMs);
  if (atLeast !== undefined && tookMs < parseDurationMs(atLeast)!) {
    differs(
      ['took'],
      `The run should take ${atLeast}${typeof took === 'string' ? '' : ' or longer'}, but takes ${is}.`,
    );
  } else if (atMost !== undefined && tookMs > parseDurationMs(atMost)!) {
    differs(['took'], `The run should take ${atMost}${typeof took === 'string' ? '' : ' at most'}, but takes ${is}.`);
  }
}

/** An artifact is told by the output that made it. */
function valueAt(plan: Plan, run: SimulatedRun, part: 'outputs' | 'inputs', name: string): Json | undefined {
  const split = splitName(plan, name);
  if (split === null) return undefined;
  const step = stepsAt(run, split.path)[0];
  let value: Json | undefined = part === 'outputs' ? (step?.outputs as Json) : (step?.with as Json);
  for (const key of split.name.split('.')) {
    value = typeof value === 'object' && value !== null ? (value as { [key: string]: Json })[key] : undefined;
  }
  return value === undefined ? undefined : named(value, run.origins);
}

function named(value: Json, origins: SimulatedRun['origins']): Json {
  if (isArtifactRef(value)) return origins.get(value.digest) ?? 'a folder';
  if (Array.isArray(value)) return value.map((item) => named(item, origins));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, named(item as Json, origins)]));
}

function same(a: Json, b: Json): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => same(item, b[i]!));
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const [left, right] = [a as { [key: string]: Json }, b as { [key: string]: Json }];
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...keys].every((key) => key in left && key in right && same(left[key]!, right[key]!));
}

const show = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));
const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);

function reasonOf(run: SimulatedRun, path: string): string {
  const error = stepsAt(run, path)[0]?.error;
  return error === undefined ? '' : ` (${error.replace(/\.$/, '')})`;
}
