/** `hardcase why RUN STEP`: why a step ran or was reused, what its inputs came from, and what differs from before. */

import colours from 'picocolors';
import { readOperations, readStepRecords } from '../artifacts/run-record.ts';
import { readStepResult } from '../artifacts/step-results.ts';
import type { Store } from '../artifacts/store.ts';
import { compilePipeline, parsePipeline } from '../plan/compile.ts';
import { findStep } from '../plan/paths.ts';
import { stepKinds } from '../plan/step-kinds.ts';
import {
  type ArtifactRef,
  isArtifactRef,
  type Json,
  type OperationRecord,
  type RunHeader,
  type StepRecord,
} from '../plan/types.ts';
import { describePlaced, type PlacedChange, placeChange } from './change-places.ts';
import { openExistingStore } from './connect.ts';
import { nearestWork, readEarlierWork } from './earlier-work.ts';
import { findRun } from './find-run.ts';
import { storedImports } from './load-pipeline.ts';
import { operationWords } from './operations.ts';
import {
  CommandError,
  didYouMean,
  type ExitCode,
  exitCodes,
  formatMoment,
  paintState,
  print,
  printJson,
  table,
} from './output.ts';
import { readPlan, readRunView } from './run-view.ts';
import type { Settings } from './settings.ts';

/** Where an input was made. */
export interface InputOrigin {
  /** As in `with`: `dataset`, `models.0`. */
  readonly name: string;
  readonly artifact: ArtifactRef['artifact'];
  readonly digest: string;
  /** Path and output of the step of this run that gave it; absent for a folder that the command took in. */
  readonly step?: string;
  readonly output?: string;
  /** The run in which it was made, where that was another one. */
  readonly from?: string;
}

export interface Why {
  readonly run: string;
  readonly step: string;
  readonly kind: string;
  readonly state: StepRecord['state'];
  readonly reused: boolean;
  /** In whole sentences. */
  readonly because: string;
  /** Of a reused step: where its result was made. */
  readonly madeBy?: { readonly run: string; readonly step: string; readonly at: string };
  readonly nearest?: { readonly run: string; readonly step: string };
  readonly changes: readonly PlacedChange[];
  readonly inputs: readonly InputOrigin[];
  /** Changes of the plan while the run went on that concern the step, in words. */
  readonly upgrades?: readonly string[];
}

export async function runWhy(
  settings: Settings,
  name: string,
  step: string,
  options: { readonly json?: boolean },
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header } = await findRun(store, name);
  const explained = await explainStep(store, header, step);
  const upgrades = upgradesOf(step, await readOperations(store, header.run));
  const answer = upgrades.length === 0 ? explained : { ...explained, upgrades };
  if (options.json) printJson(answer);
  else print(whyText(answer));
  return exitCodes.done;
}

export async function explainStep(store: Store, header: RunHeader, step: string): Promise<Why> {
  const records = await readStepRecords(store, header.run);
  const record = records.find(({ path }) => path === step);
  const plan = await readPlan(store, header.planDigest);
  if (record === undefined) return await explainAbsent(store, header, step, records);
  const { kind, state, reused, with: parameters = {} } = record;
  const inputs = originsOf(parameters, record, records);
  const common = { run: header.run, step, kind, state, reused, inputs: await withRuns(store, inputs, records) };
  if (state === 'skipped')
    return { ...common, because: skipReason(record, plan === null ? null : findStep(plan.root, step)), changes: [] };
  const row = stepKinds.get(kind);
  const result = record.fingerprint === undefined ? null : await readStepResult(store, record.fingerprint);
  if (reused && result !== null) {
    const { run, path, at } = result;
    const because = `A result of the same kind, code version, inputs, parameters${row?.seeded ? ' and seed' : ''} was there: ${path} of ${run} made it on ${formatMoment(at)}.`;
    return { ...common, because, madeBy: { run, step: path, at }, changes: [] };
  }
  const source = await sourceOf(store, header);
  const earlier = await readEarlierWork(
    store,
    header.pipeline,
    ({ run, createdAt }) => run !== header.run && createdAt < header.createdAt,
  );
  const version = versionIn(plan === null ? null : findStep(plan.root, step)) ?? row?.version ?? 1;
  const seed = row?.seeded === true ? record.seed : undefined;
  const nearest =
    record.with === undefined
      ? null
      : nearestWork(earlier, { kind, version, with: parameters, seed }, step, header.pipeline);
  const changes = (nearest?.changes ?? []).map((change) =>
    source === null ? change : placeChange(change, step, source, nearest?.header.params ?? {}),
  );
  return {
    ...common,
    because: ranBecause(header, record, {
      reusable: row?.reusable ?? true,
      known: nearest !== null,
      changed: changes.length > 0,
    }),
    ...(nearest === null ? {} : { nearest: { run: nearest.header.run, step: nearest.record.path } }),
    changes,
  };
}

/** Those that changed the step of the root that it is or is within, from its round on or before. */
function upgradesOf(step: string, operations: readonly OperationRecord[]): string[] {
  const id = /^[^.[]*/.exec(step)![0];
  const round = Number(/^[^.[]*\[(\d+)\]/.exec(step)?.[1] ?? Number.POSITIVE_INFINITY);
  return operations.flatMap((record) => {
    const isIts = record.operation === 'upgrade' && record.steps?.includes(id) === true;
    return isIts && (record.from?.[id] ?? 0) <= round ? [operationWords(record)] : [];
  });
}

function ranBecause(
  { fork, run }: RunHeader,
  { kind, state, error, fresh, note }: StepRecord,
  { reusable, known, changed }: { reusable: boolean; known: boolean; changed: boolean },
): string {
  const done = state === 'done' ? 'It ran' : state === 'held' ? 'It gave up' : `It is ${state}`;
  const failure = state === 'held' || state === 'failed' ? ` (${error ?? 'no reason recorded'})` : '';
  if (kind === 'repeat' || kind === 'matrix' || kind === 'forEach') {
    return `${done}${failure}. What runs anew is decided for each step inside: ask why of one of those.`;
  }
  if (kind === 'approve') return `People decide it: ${note ?? 'nobody has answered yet'}.`;
  const so = `${done}${failure}, `;
  if (fresh !== undefined && fork !== undefined) {
    return `${so}because ${run} was forked from ${fork.run} to run anew from ${fork.from} on.`;
  }
  if (!reusable) return `${so}because a ${kind} step runs anew in each run.`;
  if (!known) return `${so}because no earlier run did work of this kind.`;
  if (!changed) return `${so}because the earlier result of the same work was no longer in the store, or damaged.`;
  return `${so}because no result of the same work was in the store.`;
}

function skipReason({ error, note }: StepRecord, planned: ReturnType<typeof findStep>): string {
  if (error !== undefined) return `It was skipped. ${error}`;
  if (note !== undefined) return `It was skipped: ${note}.`;
  return `It was skipped, because its condition was false${planned?.when === undefined ? '' : `: ${planned.when}`}.`;
}

const versionIn = (planned: ReturnType<typeof findStep>): number | undefined =>
  planned !== null && 'version' in planned ? planned.version : undefined;

/** A step that has not begun: what it waits for, or that there is no such step. */
async function explainAbsent(
  store: Store,
  header: RunHeader,
  step: string,
  records: readonly StepRecord[],
): Promise<Why> {
  const pending = (await readRunView(store, header.run))?.steps.find(({ path }) => path === step);
  const plan = await readPlan(store, header.planDigest);
  const planned = plan === null ? null : findStep(plan.root, step);
  if (pending === undefined || planned === null) {
    const paths = records.map(({ path }) => path);
    const near = didYouMean(step, paths);
    throw new CommandError(
      `${header.run} has no step "${step}" that began.${near === undefined ? '' : ` Did you mean "${near}"?`} Steps: ${paths.join(', ') || 'none'}.`,
      exitCodes.usage,
    );
  }
  const states = new Map(records.map(({ path, state }) => [path, state]));
  const open = planned.needs.filter((need) => !['done', 'skipped'].includes(states.get(need) ?? 'pending'));
  const waits = open.map((need) => `${need} (${states.get(need) ?? 'pending'})`).join(', ');
  const because = `It has not begun${waits === '' ? '' : `: it waits for ${waits}`}.`;
  return {
    run: header.run,
    step,
    kind: pending.kind,
    state: 'pending',
    reused: false,
    because,
    changes: [],
    inputs: [],
  };
}

/** For each artifact in the parameters the step of the run that gave it: of several the last that had ended before. */
function originsOf(value: Json, record: StepRecord, records: readonly StepRecord[], name = ''): InputOrigin[] {
  if (isArtifactRef(value)) {
    const { artifact, digest } = value;
    const givers = records.filter(({ path, startedAt = '', endedAt = '' }) => {
      return path !== record.path && startedAt <= (record.startedAt ?? '~') && endedAt <= (record.startedAt ?? '~');
    });
    for (const { path, outputs = {}, kind } of [...givers].reverse()) {
      // A loop only hands on what its steps made.
      if (kind === 'repeat' || kind === 'matrix' || kind === 'forEach') continue;
      const output = outputHolding(outputs, digest);
      if (output !== null) return [{ name, artifact, digest, step: path, output }];
    }
    return [{ name, artifact, digest }];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    originsOf(item as Json, record, records, name === '' ? key : `${name}.${key}`),
  );
}

function outputHolding(outputs: { readonly [name: string]: Json }, digest: string): string | null {
  const holds = (value: Json): boolean => {
    if (isArtifactRef(value)) return value.digest === digest;
    return typeof value === 'object' && value !== null && Object.values(value).some((item) => holds(item as Json));
  };
  return Object.entries(outputs).find(([, value]) => holds(value))?.[0] ?? null;
}

/** Adds the run in which a reused step was made. */
async function withRuns(
  store: Store,
  inputs: readonly InputOrigin[],
  records: readonly StepRecord[],
): Promise<InputOrigin[]> {
  const answers: InputOrigin[] = [];
  for (const input of inputs) {
    const giver = records.find(({ path }) => path === input.step);
    const result =
      giver?.reused && giver.fingerprint !== undefined ? await readStepResult(store, giver.fingerprint) : null;
    answers.push(result === null ? input : { ...input, from: result.run });
  }
  return answers;
}

/** The run's own file with its places; null where it is gone. */
async function sourceOf(store: Store, header: RunHeader) {
  const bytes = await store.getObject(header.source);
  if (bytes === null) return null;
  const text = bytes.toString('utf8');
  const pipeline = parsePipeline({ file: header.file, text }, await storedImports(store, header));
  const { sources } = compilePipeline(pipeline, { params: header.params, paramsRequired: false });
  return { text, sources, places: pipeline.parsed?.places ?? new Map(), params: header.params };
}

function whyText({ run, step, kind, state, reused, because, nearest, changes, inputs, upgrades = [] }: Why): string {
  const lines = [
    `${colours.bold(step)} (${kind}) of ${run}: ${paintState(state)}${reused ? ', reused' : ''}`,
    `  ${because}`,
    ...(upgrades.length === 0 ? [] : ['', 'Its plan was changed while the run went on:']),
    ...upgrades.map((words) => `  ${words}`),
  ];
  if (nearest !== undefined && changes.length > 0) {
    const origin = new Map(inputs.map((input) => [input.name, originWords(input)]));
    lines.push('', `What differs from ${nearest.step} of ${nearest.run}, which did most nearly the same:`);
    for (const change of changes) {
      const from = change.what === 'input' ? origin.get(change.name) : undefined;
      lines.push(`  ${describePlaced(change)}${from === undefined ? '' : `: ${from}`}`);
    }
  }
  if (inputs.length > 0) {
    const rows = inputs.map((input) => [
      '',
      input.name,
      `${input.artifact} ${input.digest.slice(0, 12)}`,
      originWords(input),
    ]);
    lines.push('', 'Inputs:', table(rows));
  }
  return lines.join('\n');
}

function originWords({ step, output, from }: InputOrigin): string {
  if (step === undefined) return 'a folder that the run took in';
  return `${step}.${output}${from === undefined ? '' : ` (reused, made by ${from})`}`;
}
