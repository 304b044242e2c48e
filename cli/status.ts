/** `hardcase status RUN`: one run, from its record alone. */

import colours from 'picocolors';
import { isArtifactRef, type Json, type RunHeader, type StepRecord } from '../plan/types.ts';
import { openExistingStore } from './connect.ts';
import { engineDownWords, isEngineDown } from './engine-down.ts';
import { findRun } from './find-run.ts';
import { operationWords, pauseOf } from './operations.ts';
import {
  type ExitCode,
  exitCodes,
  formatClock,
  formatDuration,
  formatMoment,
  ownCommand,
  paintState,
  print,
  printJson,
  table,
} from './output.ts';
import { durationMsOf, isFinal, isHeldByInput, type RunView, readRunView, statusJson } from './run-view.ts';
import type { Settings } from './settings.ts';

export async function runStatus(
  settings: Settings,
  name: string,
  options: { readonly json?: boolean },
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header } = await findRun(store, name);
  const view = (await readRunView(store, header.run))!;
  if (options.json) printJson(statusJson(view));
  else print(statusText(view, { isIdle: !isFinal(view.state) && (await isEngineDown(settings)) }));
  return exitCodes.done;
}

/** `isIdle`: the run is open, but nothing works on it. */
export function statusText(view: RunView, { now = Date.now(), isIdle = false } = {}): string {
  const { run, pipeline, file, createdAt } = view.header;
  const end = view.record.endedAt;
  const isPaused = !isFinal(view.state) && pauseOf(view.operations) !== null;
  const lines = [
    `${colours.bold(run)}: ${paintState(view.state)}${isPaused && view.state !== 'paused' ? ', paused' : ''}`,
    `  pipeline ${pipeline} (${file}), begun ${formatMoment(createdAt)}, ` +
      (end
        ? `took ${formatDuration(Date.parse(end) - Date.parse(createdAt))}`
        : `${formatDuration(now - Date.parse(createdAt))} ago`),
    ...forkWords(view.header),
    '',
    table(view.steps.map((step) => ['', step.path, step.kind, stateWords(step), timeWords(step, now)])),
  ];
  const details = view.steps.flatMap((step) => {
    if (step.state === 'held') {
      return [
        `${step.path} gave up: ${step.error ?? 'no reason recorded'}`,
        isHeldByInput(step)
          ? `  ${heldByInputWords(view.header)}`
          : `  Mend the cause, then: ${ownCommand('retry', run, step.path)}`,
      ];
    }
    if (step.state === 'waiting') return gateWords(run, step);
    if (step.unserved !== undefined && !isFinal(step.state)) return [`${step.path} waits for ${step.unserved}`];
    if (step.state === 'failed') return [`${step.path} failed: ${step.error ?? 'no reason recorded'}`];
    if (step.note !== undefined) return [`${step.path}: ${step.note}`];
    const progress = step.state === 'running' ? view.progress.get(step.path) : undefined;
    return progress ? [`${step.path} at ${formatClock(progress.at)}: ${progress.message}`] : [];
  });
  if (details.length > 0) lines.push('', ...details);
  if (view.record.error && !details.some((line) => line.includes(view.record.error!))) {
    lines.push('', `Error: ${view.record.error}`);
  }
  if (view.operations.length > 0) {
    lines.push('', 'Operations:', ...view.operations.map((operation) => `  ${operationWords(operation)}`));
  }
  const notices = view.record.notices ?? [];
  if (notices.length > 0) lines.push('', 'Notices:', ...notices.map((notice) => `  ${notice}`));
  if (isPaused) lines.push('', pausedWords(view));
  else if (isIdle) lines.push('', engineDownWords(view.header));
  else if (!isFinal(view.state)) lines.push('', `Go on, or watch: ${ownCommand('run', file, '--run', run)}`);
  else if (view.state === 'done') lines.push('', `Report: ${ownCommand('report', run)}`);
  return lines.join('\n');
}

/** Where a fork comes from; nothing for any other run. */
function forkWords({ fork }: RunHeader): string[] {
  if (fork === undefined) return [];
  const params = Object.entries(fork.params).map(([name, value]) => `${name}=${shownParam(value)}`);
  const changes = params.length === 0 ? '' : ` with ${params.join(', ')}`;
  return [`  fork of ${fork.run} from ${fork.from} on${changes}`];
}

const shownParam = (value: Json): string =>
  typeof value === 'string'
    ? value
    : isArtifactRef(value)
      ? `folder ${value.digest.slice(0, 12)}`
      : JSON.stringify(value);

/** `words` are those of this command's -p; what they do not give is as the run has it. */
export function heldByInputWords({ run, file, params, given }: RunHeader, words: readonly string[] = []): string {
  const again = (given ?? Object.keys(params)).flatMap((name) => {
    const value = params[name] ?? '';
    const word = words.find((text) => text.startsWith(`${name}=`));
    return ['-p', word ?? `${name}=${isArtifactRef(value) ? 'FOLDER' : String(value)}`];
  });
  return (
    `Mend the data or the pipeline, and start a new run, which reuses what is finished: ${ownCommand('run', file, ...again)}\n` +
    `  A retry of this one would read the same again; it ends with: ${ownCommand('cancel', run)}`
  );
}

/** Who paused the run, and how it goes on. */
export function pausedWords({ header: { run, file }, operations }: Pick<RunView, 'header' | 'operations'>): string {
  const pause = pauseOf(operations);
  const who = pause === null ? '' : ` by ${pause.by}${pause.reason === undefined ? '' : ` (${pause.reason})`}`;
  return `Run ${run} is paused${who}. It goes on with: ${ownCommand('resume', run)} and ${ownCommand('run', file, '--run', run)}`;
}

/** The record's own words end with a command that knows nothing of how this one was called. */
export const awaited = (step: StepRecord): string => step.waitingFor?.replace(/:? *"?hardcase .*$/, '') ?? 'an answer';

/** What a person can do about a waiting gate. */
export function gateWords(run: string, step: StepRecord): string[] {
  if (step.kind === 'approve') {
    return [
      `${step.path} waits for ${awaited(step)}. See what is asked, and answer, from another terminal:`,
      `  ${ownCommand('review', 'show', step.path, '--run', run)}`,
      `  ${ownCommand('review', 'decide', run, step.path, 'NAME=VALUE')}`,
    ];
  }
  return [
    `${step.path} waits for ${awaited(step)}. Answer on a page, from another terminal:`,
    `  ${ownCommand('review', run)}`,
    'or there, one by one:',
    `  ${ownCommand('review', 'list', run)}`,
    `  ${ownCommand('review', 'show', 'CANDIDATE', '--run', run)}`,
    `  ${ownCommand('review', 'decide', run, step.path, 'CANDIDATE=accept|reject|ignore')}`,
  ];
}

function stateWords(step: StepRecord): string {
  return paintState(step.state, step.reused && step.state === 'done' ? 'done (reused)' : step.state);
}

function timeWords(step: StepRecord, now: number): string {
  if (step.startedAt === undefined || step.state === 'skipped') return '';
  const began = Date.parse(step.startedAt);
  if (step.endedAt !== undefined) {
    const ms = durationMsOf(step);
    return ms === null ? '' : formatDuration(ms);
  }
  return isFinal(step.state) ? '' : `since ${formatClock(step.startedAt)} (${formatDuration(now - began)})`;
}
