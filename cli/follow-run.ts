/** Follows a run's record and tells what happens: lines as they come, and on a terminal a live block below them. */

import colours from 'picocolors';
import { type Store, StoreUnavailableError } from '../artifacts/store.ts';
import type { StepRecord } from '../plan/types.ts';
import { operationWords, pauseOf } from './operations.ts';
import { CommandError, exitCodes, formatClock, formatDuration, paintState, visibleLength } from './output.ts';
import { durationMsOf, isFinal, type RunView, readRunView } from './run-view.ts';
import { awaited, gateWords } from './status.ts';

export interface FollowOptions {
  readonly store: Store;
  readonly run: string;
  /** Where lines go; on a terminal with a live block. */
  readonly output: NodeJS.WriteStream;
  /** Ends the following early. */
  readonly signal: AbortSignal;
  /** End also when only gates, or only held steps, are left. */
  readonly untilWaiting: boolean;
  readonly untilHeld: boolean;
  /** Asked before the following ends with a run that only waits or is held: does the engine have work for it after all? */
  isBusy?(): Promise<boolean>;
  /** Called at every look; throws to end the following with that error. */
  onLook?(view: RunView): Promise<void>;
}

// Folder stores answer in milliseconds; every look at S3 costs one request a step.
const lookMs = { folder: 700, s3: 3_000 };
// Between two steps nothing runs for a moment, and a gate may wait meanwhile: it must last to count, and the engine is asked.
const settledMs = 1_000;
// In a log file a training of hours should not take thousands of lines.
const quietProgressMs = 30_000;

/** Ends when the run has ended, cannot go on as `untilWaiting` and `untilHeld` say, or the signal is aborted. */
export async function followRun(options: FollowOptions): Promise<RunView> {
  const teller = new Teller(options.run, options.output);
  const intervalMs = options.store.url.startsWith('s3:') ? lookMs.s3 : lookMs.folder;
  let settledSince = 0;
  let settledState = '';
  let lastView: RunView | null = null;
  try {
    for (;;) {
      const look = await lookAt(options);
      if (look instanceof StoreUnavailableError) {
        teller.tellAway(look.message);
        if (options.signal.aborted) {
          if (lastView === null) throw look;
          return lastView;
        }
        await pause(intervalMs, options.signal);
        continue;
      }
      teller.tellBack();
      if (look === null) {
        throw new CommandError(
          `The record of run ${options.run} is no longer in ${options.store.url}: somebody has removed it. Put it back from a copy, or run the file again: results that are still there are reused.`,
          exitCodes.engine,
        );
      }
      const view = look;
      lastView = view;
      teller.tell(view);
      await options.onLook?.(view);
      if (isFinal(view.state) || options.signal.aborted) return view;
      const settles =
        ((view.state === 'waiting' || view.state === 'paused') && options.untilWaiting) ||
        (view.state === 'held' && options.untilHeld);
      if (!settles || view.state !== settledState) {
        settledSince = Date.now();
        settledState = view.state;
      } else if (Date.now() - settledSince >= settledMs) {
        if ((await options.isBusy?.()) !== true) return view;
        settledSince = Date.now();
      }
      await pause(intervalMs, options.signal);
    }
  } finally {
    teller.end();
  }
}

/** A store that is away for a while must not end a run of weeks: then the answer is its error. */
async function lookAt({ store, run }: FollowOptions): Promise<RunView | null | StoreUnavailableError> {
  try {
    return await readRunView(store, run);
  } catch (error) {
    if (error instanceof StoreUnavailableError && error.transient) return error;
    throw error;
  }
}

/** Says what is new since the last look. */
class Teller {
  private readonly run: string;
  private readonly output: NodeJS.WriteStream;
  private readonly told = new Map<
    string,
    { state: string; startedAt?: string; progress?: string; progressAt: number }
  >();
  private readonly toldNotices = new Set<string>();
  private readonly toldOperations = new Set<string>();
  private readonly began = Date.now();
  private isFirstLook = true;
  private isAway = false;
  private blockLines = 0;

  constructor(run: string, output: NodeJS.WriteStream) {
    this.run = run;
    this.output = output;
  }

  tell(view: RunView): void {
    const lines: string[] = this.isFirstLook ? this.passOver(view) : [];
    this.isFirstLook = false;
    for (const step of view.steps) lines.push(...this.newsOf(step, view));
    for (const operation of view.operations) {
      const words = operationWords(operation);
      if (this.toldOperations.has(words)) continue;
      this.toldOperations.add(words);
      lines.push(colours.yellow(words));
    }
    for (const notice of view.record.notices ?? []) {
      if (this.toldNotices.has(notice)) continue;
      this.toldNotices.add(notice);
      lines.push(colours.yellow(`Notice: ${notice}`));
    }
    this.write(lines, this.output.isTTY ? blockOf(view) : []);
  }

  /** Once, however long it is away. */
  tellAway(why: string): void {
    if (!this.isAway) this.write([colours.yellow(`${why} It is tried again until it answers; Ctrl-C stops.`)], []);
    this.isAway = true;
  }

  tellBack(): void {
    if (this.isAway) this.write(['The store answers again.'], []);
    this.isAway = false;
  }

  end(): void {
    this.write([], []);
  }

  /** What earlier commands have shown is told in one line. */
  private passOver(view: RunView): string[] {
    for (const operation of view.operations) {
      if (Date.parse(operation.at) < this.began) this.toldOperations.add(operationWords(operation));
    }
    const before = view.steps.filter(
      ({ state, endedAt }) =>
        (state === 'done' || state === 'skipped') && endedAt !== undefined && Date.parse(endedAt) < this.began,
    );
    if (before.length === 0) return [];
    for (const { path, state, startedAt } of before) this.told.set(path, { state, startedAt, progressAt: 0 });
    for (const notice of view.record.notices ?? []) this.toldNotices.add(notice);
    const shown = before.slice(-6).map(({ path }) => path);
    const more = before.length > shown.length ? `${before.length - shown.length} steps and ` : '';
    return [colours.dim(`Done before: ${more}${shown.join(', ')}`)];
  }

  private newsOf(step: StepRecord, view: RunView): string[] {
    if (step.state === 'pending') return [];
    // Of a pause "now": it is told as paused in a moment.
    if (step.state === 'cancelled' && !isFinal(view.state) && pauseOf(view.operations)?.now === true) return [];
    const before = this.told.get(step.path);
    const progress = step.state === 'running' ? view.progress.get(step.path) : undefined;
    const isNews = before?.state !== step.state || before.startedAt !== step.startedAt;
    const lines = isNews ? wordsOf(step, this.run) : [];
    let progressAt = before?.progressAt ?? (step.startedAt ? Date.parse(step.startedAt) : 0);
    if (
      progress !== undefined &&
      !this.output.isTTY &&
      progress.message !== before?.progress &&
      Date.now() - progressAt >= quietProgressMs
    ) {
      lines.push(`${formatClock(progress.at)}  ${step.path}  ${progress.message}`);
      progressAt = Date.now();
    }
    this.told.set(step.path, { state: step.state, startedAt: step.startedAt, progress: progress?.message, progressAt });
    return lines;
  }

  private write(lines: readonly string[], block: readonly string[]): void {
    if (lines.length === 0 && block.length === 0 && this.blockLines === 0) return;
    // Up to the block's first line, then clear to the end of the screen: the block is drawn anew below the news.
    const up = this.blockLines > 0 ? `\u001b[${this.blockLines}A\u001b[0J` : '';
    const width = (this.output.columns ?? 80) - 1;
    const text = [...lines, ...block.map((line) => cut(line, width))].map((line) => `${line}\n`).join('');
    this.output.write(up + text);
    this.blockLines = block.length;
  }
}

/** When the step came to be as it is now, which may be long after it began first. */
function momentOf({ state, startedAt, endedAt, attempts }: StepRecord): string | number {
  const last = attempts?.at(-1);
  return endedAt ?? (state === 'running' ? last?.startedAt : last?.endedAt) ?? startedAt ?? Date.now();
}

function wordsOf(step: StepRecord, run: string): string[] {
  const at = formatClock(momentOf(step));
  const ms = durationMsOf(step);
  const took = `${step.found === undefined ? '' : ' before'}${ms === null ? '' : ` in ${formatDuration(ms)}`}`;
  const head = `${at}  ${step.path}`;
  switch (step.state) {
    case 'running':
      return [`${head}  ${colours.dim(step.kind)} started`];
    case 'done':
      return [
        `${head}  ${paintState('done')}${step.reused ? ', reused' : took}${step.note ? `, ${step.note}` : numbersOf(step)}`,
      ];
    case 'waiting':
      return [`${head}  ${paintState('waiting')}`, ...gateWords(run, step).map((line) => `          ${line}`)];
    case 'held':
      return [`${head}  ${paintState('held')}: ${step.error ?? 'no reason recorded'}`];
    case 'failed':
      return [`${head}  ${paintState('failed')}: ${step.error ?? 'no reason recorded'}`];
    default:
      return [`${head}  ${paintState(step.state)}`];
  }
}

/** Outputs that are numbers say how it went; a gate between models says what it decided. */
function numbersOf(step: StepRecord): string {
  if (step.kind === 'promote') return colours.dim(`  ${String(step.outputs?.reason ?? '')}`);
  const numbers = Object.entries(step.outputs ?? {}).filter(([, value]) => typeof value === 'number');
  if (numbers.length === 0) return '';
  return colours.dim(`  ${numbers.map(([name, value]) => `${name} ${formatNumber(value as number)}`).join(', ')}`);
}

const formatNumber = (value: number): string => (Number.isInteger(value) ? String(value) : value.toPrecision(4));

function blockOf(view: RunView): string[] {
  const busy = view.steps.filter((step) => step.state === 'running' || step.state === 'waiting');
  const done = view.steps.filter((step) => step.state === 'done' || step.state === 'skipped').length;
  const since = view.record.startedAt ?? view.header.createdAt;
  const lines = [
    `${colours.bold(view.header.run)}  ${paintState(view.state)}  ${done} of ${view.steps.length} steps  ${formatDuration(Date.now() - Date.parse(since))}`,
  ];
  for (const step of busy.slice(0, 8)) {
    const progress = view.progress.get(step.path);
    const detail = step.state === 'waiting' ? awaited(step) : (progress?.message ?? step.kind);
    lines.push(`  ${bar(progress?.share)} ${step.path}  ${colours.dim(detail)}`);
  }
  if (busy.length > 8) lines.push(`  and ${busy.length - 8} more`);
  return lines;
}

function bar(share: number | undefined): string {
  const cells = 16;
  if (share === undefined) return colours.dim('·'.repeat(cells));
  const full = Math.round(Math.min(1, Math.max(0, share)) * cells);
  return colours.cyan('━'.repeat(full)) + colours.dim('─'.repeat(cells - full));
}

/** A line that wraps would break the count of lines to go up. */
function cut(line: string, width: number): string {
  if (visibleLength(line) <= width) return line;
  let visible = 0;
  let end = 0;
  while (end < line.length && visible < width - 1) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins every colour.
    const colour = /^\u001b\[[0-9;]*m/.exec(line.slice(end));
    end += colour ? colour[0].length : 1;
    visible += colour ? 0 : 1;
  }
  return `${line.slice(0, end)}\u001b[0m…`;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
