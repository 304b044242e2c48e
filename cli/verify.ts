/** `hardcase verify RUN`: checks that a run's record and artifacts are whole, and on demand computes a step again. */

import colours from 'picocolors';
import { notProven, proven, type Verification } from '../activities/verification.ts';
import { verifyRun } from '../activities/verify-run.ts';
import type { StepRecord } from '../plan/types.ts';
import { openExistingStore, openSettingsStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { listenForInterruption } from './interruption.ts';
import {
  CommandError,
  didYouMean,
  type ExitCode,
  exitCodes,
  formatBytes,
  note,
  print,
  printJson,
  table,
} from './output.ts';
import type { Recomputation } from './recompute.ts';
import { readRunView } from './run-view.ts';
import type { Settings } from './settings.ts';

export async function runVerify(
  settings: Settings,
  name: string,
  options: { readonly recompute?: string; readonly json?: boolean },
): Promise<ExitCode> {
  const store = options.recompute === undefined ? await openExistingStore(settings) : await openSettingsStore(settings);
  const found = await findRun(store, name);
  const { header } = found;
  const view = (await readRunView(store, header.run))!;
  const step = options.recompute === undefined ? null : stepNamed(view.steps, options.recompute);
  const verification = await verifyRun(store, found);
  if (!options.json) print(verificationText(verification));
  let again: Recomputation | null = null;
  if (step !== null) {
    const { recompute } = await import('./recompute.ts');
    const interruption = listenForInterruption(
      () => {},
      () => 'Stopping.',
    );
    try {
      note(`Computing ${step.path} again…`);
      again = await recompute(store, header.run, step, progressSayer(), interruption.signal);
    } catch (error) {
      if (interruption.signal.aborted) return exitCodes.interrupted;
      throw error;
    } finally {
      interruption.restore();
    }
  }
  if (options.json) {
    const document = { ...verification, proves: proven, doesNotProve: notProven, recomputed: again };
    printJson(document);
  } else if (again !== null) {
    print(recomputationText(again));
  }
  if (!verification.ok || again?.outcome === 'differs') return exitCodes.input;
  return again?.outcome === 'incomparable' ? exitCodes.engine : exitCodes.done;
}

function stepNamed(steps: readonly StepRecord[], path: string): StepRecord {
  const step = steps.find((each) => each.path === path);
  if (step !== undefined) return step;
  const paths = steps.map((each) => each.path);
  const near = didYouMean(path, paths);
  throw new CommandError(
    `--recompute: the run has no step "${path}".${near ? ` Did you mean "${near}"?` : ''} Steps: ${paths.join(', ')}.`,
    exitCodes.usage,
  );
}

export function verificationText({ run, state, ok, checks, remarks }: Verification): string {
  const rows = checks.map(({ name, checked, of, bytes, problems }) => [
    '',
    problems.length === 0 ? colours.green('ok') : colours.red(`${problems.length} wrong`),
    name,
    `${checked} ${of}${bytes === undefined ? '' : ` (${formatBytes(bytes)})`}`,
  ]);
  const problems = checks.flatMap((check) => check.problems.map(({ where, what }) => `  ${where}: ${what}`));
  const lines = [
    `${colours.bold(run)} (${state}): ${ok ? colours.green('verified') : colours.red('not as it should be')}`,
  ];
  lines.push('', table(rows));
  if (problems.length > 0) lines.push('', 'What is wrong:', ...problems);
  if (remarks.length > 0) lines.push('', ...remarks);
  if (ok) {
    lines.push('', 'What this proves:', ...proven.map((line) => `  - ${line}`));
    lines.push('What it does not:', ...notProven.map((line) => `  - ${line}`));
  }
  return lines.join('\n');
}

export function recomputationText({ step, outcome, outputs, firstDifference, otherArithmetic }: Recomputation): string {
  const names = outputs.filter(({ equal }) => equal).map(({ name }) => name);
  if (outcome === 'equal') return `\n${step}, computed again, gave the same: ${names.join(', ')}.`;
  const differing = outputs.filter(({ equal }) => !equal).map(({ name }) => name);
  const lines = [`\n${step}, computed again, gave another ${differing.join(', ')}.`];
  if (firstDifference !== null) {
    const { epoch, step: at, in: place } = firstDifference;
    const words = { start: 'before the first step', steps: 'in a step of it', state: 'in the state at its end' };
    lines.push(`The trainings part in epoch ${epoch}, which ends with step ${at}: ${words[place]}.`);
  }
  lines.push(
    outcome === 'incomparable'
      ? `That may be so: the arithmetic is another here (${otherArithmetic.join('; ')}). Only a machine like the first can tell.`
      : 'The arithmetic is the same as then, so one of the two computed wrongly, or the result was changed since.',
  );
  return lines.join('\n');
}

/** A line when the message changes, at most one in five seconds. */
function progressSayer(): (message: string) => void {
  let last = { message: '', at: 0 };
  return (message) => {
    if (message === last.message || Date.now() - last.at < 5_000) return;
    last = { message, at: Date.now() };
    note(`  ${message}`);
  };
}
