/** How commands speak: exit codes, the error they fail with, tables, times and JSON. */

import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import colours from 'picocolors';

export const exitCodes = {
  done: 0,
  /** The pipeline or the data is at fault. */
  input: 1,
  usage: 2,
  /** A human must answer (with `--no-wait`). */
  waiting: 3,
  /** The engine or a service failed, or only held steps are left. */
  engine: 4,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** One clear sentence or more for the user; printed without a stack. */
export class CommandError extends Error {
  readonly exitCode: ExitCode;
  constructor(message: string, exitCode: ExitCode, cause?: unknown) {
    super(message, { cause });
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}

export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** For people, beside the result: never part of what a program reads. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

const colourOfState: { readonly [state: string]: (text: string) => string } = {
  pending: colours.dim,
  running: colours.cyan,
  waiting: colours.yellow,
  held: colours.red,
  paused: colours.yellow,
  done: colours.green,
  skipped: colours.dim,
  failed: colours.red,
  cancelled: colours.red,
};

export const paintState = (state: string, text = state): string => (colourOfState[state] ?? ((same) => same))(text);

/** Columns padded to their widest cell; a cell may hold colours. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, visibleLength(cell));
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - visibleLength(cell)),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins every colour.
const colourCodes = /\u001b\[[0-9;]*m/g;

export const visibleLength = (text: string): number => text.replace(colourCodes, '').length;

/** `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`. */
export function formatDuration(ms: number): string {
  // Clocks of two processes, or one that is set back: nothing takes less than no time.
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** `812 B`, `4.2 kB`, `1.3 GB`: powers of a thousand, as disks are sold. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes / 1000;
  let unit = 0;
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000;
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}

/** Local time of day, `14:05:09`. */
export const formatClock = (iso: string | number): string => {
  const date = new Date(iso);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
};

/** Local date and time, `2026-03-01 14:05`. */
export const formatMoment = (iso: string): string => {
  const date = new Date(iso);
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, '0'));
  return `${day.join('-')} ${formatClock(iso).slice(0, 5)}`;
};

/** A command line that can be pasted: arguments are quoted where the shell would change them. */
export function commandLine(...words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}

/** The nearest of the known words, where one is near enough to be meant. */
export function didYouMean(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length * 0.4)) + 1;
  for (const candidate of known) {
    const distance = candidate.startsWith(word) ? 1 : editDistance(word, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/** What the flags of this command name, and later commands must name again. */
type PlaceFlag = 'store' | 'address' | 'namespace' | 'queue';
let placeFlags: { readonly [flag in PlaceFlag]?: string } = {};

export function rememberPlace(flags: typeof placeFlags): void {
  placeFlags = flags;
}

/** `--store` is for all commands that ask for it here; the rest is for those that talk to the server. */
function placeWords([command = '', subcommand]: readonly string[]): string[] {
  // Of `review`, some read the store alone; the page and `decide` send decisions.
  const readsOnly = command === 'review' && ['list', 'show', 'audit'].includes(subcommand ?? '');
  const asksServer = ['run', 'watch', 'retry', 'cancel', 'worker', 'fork', 'review'].includes(command) && !readsOnly;
  const taken: readonly PlaceFlag[] = asksServer ? ['store', 'address', 'namespace', 'queue'] : ['store'];
  return taken.flatMap((flag) => {
    const value = placeFlags[flag];
    return value === undefined ? [] : [`--${flag}`, value];
  });
}

/** How this command can be called again from the same folder: in a checkout it is not on PATH. */
export function ownCommand(...command: readonly string[]): string {
  const words = [...command, ...placeWords(command)];
  const script = process.argv[1] ?? 'hardcase';
  if (basename(script) === 'hardcase') return commandLine('hardcase', ...words);
  if (isCheckout(process.cwd())) return commandLine('npx', 'hardcase', ...words);
  return commandLine('node', script, ...words);
}

function isCheckout(folder: string): boolean {
  try {
    const value: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return typeof value === 'object' && value !== null && 'name' in value && value.name === 'hardcase';
  } catch {
    return false;
  }
}
