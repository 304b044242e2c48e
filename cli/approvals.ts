/** `approve` gates on the command line: listed and shown with their forms, and answered with NAME=VALUE. */

import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import colours from 'picocolors';
import { type ApprovalRecord, listApprovals, readApproval } from '../artifacts/approval-record.ts';
import { listOpenRuns } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import {
  type Answer,
  completeAnswer,
  describeField,
  type Form,
  type FormField,
  fieldsOf,
  problemOfAnswer,
} from '../plan/form.ts';
import { findStep } from '../plan/paths.ts';
import type { ApproveStep, Json, RunHeader } from '../plan/types.ts';
import { findRun } from './find-run.ts';
import {
  CommandError,
  didYouMean,
  type ExitCode,
  exitCodes,
  formatMoment,
  ownCommand,
  print,
  printJson,
} from './output.ts';
import { readPlan } from './run-view.ts';
import type { Settings } from './settings.ts';

export interface ApprovalView {
  readonly run: string;
  readonly approval: ApprovalRecord;
}

/** Of one run, or of all runs that go on. */
export async function approvalViews(store: Store, runName: string | undefined): Promise<ApprovalView[]> {
  const runs =
    runName === undefined
      ? (await listOpenRuns(store)).map(({ header }) => header.run)
      : [(await findRun(store, runName)).header.run];
  const views: ApprovalView[] = [];
  for (const run of runs) {
    for (const approval of await listApprovals(store, run)) views.push({ run, approval });
  }
  return views;
}

/** One entry of `review list --json`, and `review show --json`. */
export function approvalJson({ run, approval }: ApprovalView): object {
  const { path, given, ...rest } = approval;
  return { run, gate: path, kind: 'approve', ...rest, answer: given };
}

export function approvalText({ run, approval }: ApprovalView): string {
  const { path, state, message, show, form, assignees, expiresAt, expired, given } = approval;
  const lines = [
    `${colours.bold(`${run} ${path}`)}: ${state}${assignees ? `, asks ${assignees.join(', ')}` : ''}` +
      `${state === 'open' && expiresAt ? `, expires ${formatMoment(expiresAt)}, then ${thenWords(expired)}` : ''}`,
    ...message.split('\n').map((line) => `  ${line}`),
    ...Object.entries(show ?? {}).map(([name, value]) => `  ${colours.dim(name)}  ${JSON.stringify(value)}`),
  ];
  if (given !== undefined) {
    const why = given.reason === undefined ? '' : `: ${given.reason}`;
    lines.push(`  ${JSON.stringify(given.answer)}`, `  by ${given.by}, ${formatMoment(given.at)} (${given.via})${why}`);
  } else if (state === 'open') {
    const required = new Set(form.required ?? []);
    for (const [name, field] of fieldsOf(form)) {
      const help = [field.title, field.description].filter((words) => words !== undefined).join(', ');
      const rest = required.has(name) && field.default === undefined ? '' : defaultWords(field);
      lines.push(`  ${name}: ${describeField(field)}${rest}${help === '' ? '' : `  ${colours.dim(help)}`}`);
    }
    lines.push(`  Answer: ${ownCommand('review', 'decide', run, path, ...exampleWords(form))}`);
  }
  return lines.join('\n');
}

function thenWords(expired: ApprovalRecord['expired']): string {
  if (typeof expired === 'object') return `goes on with ${JSON.stringify(expired)}`;
  return expired === 'fail' ? 'the run fails' : 'it is held';
}

const defaultWords = ({ default: value }: FormField): string =>
  value === undefined ? ' (may be left out)' : ` (${JSON.stringify(value)} where left out)`;

/** A command that would be taken, so that it can be copied and changed. */
function exampleWords(form: Form): string[] {
  const fields = fieldsOf(form);
  const asked = fields.filter(([name, field]) => form.required?.includes(name) && field.default === undefined);
  const shown = asked.length > 0 ? asked : fields.slice(0, 1);
  return shown.map(([name, field]) => {
    const some = { boolean: 'true', integer: 'N', number: 'N', string: 'TEXT', array: 'A,B' }[field.type];
    return `${name}=${field.enum === undefined ? some : String(field.enum[0])}`;
  });
}

/** Whether the name is that of an approve gate; several runs may have one of that name. */
export function findApproval(views: readonly ApprovalView[], name: string): ApprovalView | null {
  const found = views.filter(({ approval }) => approval.path === name);
  if (found.length <= 1) return found[0] ?? null;
  throw new CommandError(
    `Several runs have a gate "${name}": ${found.map(({ run }) => run).join(', ')}. Name the run with --run.`,
    exitCodes.usage,
  );
}

/** The `approve` step of the plan at the path; null where it is none. */
export async function approveStepAt(store: Store, header: RunHeader, path: string): Promise<ApproveStep | null> {
  const plan = await readPlan(store, header.planDigest);
  const step = plan === null ? null : findStep(plan.root, path);
  return step?.type === 'approve' ? step : null;
}

export interface AnswerOptions {
  readonly file?: string;
  readonly all?: string;
  readonly type?: string;
  readonly by?: string;
  readonly reason?: string;
  readonly json?: boolean;
}

export async function answerApproval(
  settings: Settings,
  store: Store,
  header: RunHeader,
  { form }: ApproveStep,
  path: string,
  words: readonly string[],
  options: AnswerOptions,
): Promise<ExitCode> {
  if (options.all !== undefined || options.type !== undefined) {
    throw new CommandError(
      `${path} asks for an answer to a form; --all and --type are for label reviews.`,
      exitCodes.usage,
    );
  }
  const answer = await readAnswer(form, path, words, options.file);
  const problem = problemOfAnswer(form, answer);
  if (problem !== null) throw new CommandError(`The answer was not sent. ${problem}`, exitCodes.input);
  const by = options.by ?? userInfo().username;
  const { sendAnswer } = await import('./send-messages.ts');
  const sent = await sendAnswer(settings, store, header, {
    gate: path,
    by,
    answer,
    ...(options.reason === undefined ? {} : { reason: options.reason }),
  });
  const opened = (await readApproval(store, header.run, path)) !== null;
  if (options.json) {
    printJson({
      run: header.run,
      gate: path,
      accepted: sent.accepted,
      answer: completeAnswer(form, answer),
      by,
      opened,
    });
  } else {
    const taken = sent.accepted ? 'Answered' : 'The same answer was there already';
    print(`${taken}: ${JSON.stringify(completeAnswer(form, answer))} (${header.run} ${path}, by ${by}).`);
    if (!opened) print(`The gate ${path} is not open yet: the answer waits there.`);
    if (sent.goOn !== undefined) print(`The run goes on with: ${sent.goOn}`);
  }
  return exitCodes.done;
}

async function readAnswer(
  form: Form,
  path: string,
  words: readonly string[],
  file: string | undefined,
): Promise<Answer> {
  if (words.length > 0 === (file !== undefined)) {
    throw new CommandError(
      `Give the answer in one way: ${exampleWords(form).join(' ')}, or --file FILE with a JSON object.`,
      exitCodes.usage,
    );
  }
  if (file === undefined) return readWords(form, path, words);
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new CommandError(`${file} cannot be read: ${(error as Error).message}`, exitCodes.input, error);
  });
  try {
    return JSON.parse(text) as Answer;
  } catch (error) {
    throw new CommandError(`${file} is no JSON: ${(error as Error).message}`, exitCodes.input, error);
  }
}

function readWords(form: Form, path: string, words: readonly string[]): Answer {
  const answer: { [name: string]: Json } = {};
  for (const word of words) {
    const equals = word.indexOf('=');
    const name = word.slice(0, equals);
    const field = Object.hasOwn(form.properties, name) ? form.properties[name] : undefined;
    if (equals < 1 || field === undefined) {
      const names = fieldsOf(form).map(([each]) => each);
      const near = equals < 1 ? undefined : didYouMean(name, names);
      throw new CommandError(
        `"${word}": expected NAME=VALUE with a field of ${path}.${near ? ` Did you mean "${near}"?` : ''} Fields: ${names.join(', ')}.`,
        exitCodes.usage,
      );
    }
    answer[name] = readText(field, word.slice(equals + 1));
  }
  return answer;
}

/** Text by the field's type; where it has no such meaning it stays text, and the form says what is wrong with it. */
function readText(field: FormField, text: string): Json {
  switch (field.type) {
    case 'boolean':
      return ({ true: true, yes: true, false: false, no: false } as { [word: string]: boolean })[text] ?? text;
    case 'integer':
    case 'number':
      return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
    case 'array': {
      if (text.trim() === '') return [];
      const items = field.items ?? { type: 'string' };
      return text.split(',').map((item) => readText(items, item.trim()));
    }
    default:
      return text;
  }
}
