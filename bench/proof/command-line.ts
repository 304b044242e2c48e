/** Arguments of a benchmark: read, or refused with its usage. */

import { type ParseArgsConfig, parseArgs } from 'node:util';
import { parse as parseYaml } from 'yaml';

/** What was typed is not what the benchmark takes; the message says what is wrong. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** Runs a benchmark; wrong arguments end it with status 2 and its usage. */
export async function runCommand(usage: string, main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}\n\n${usage.trimEnd()}`);
      process.exitCode = 2;
      return;
    }
    // What a folder or a file lacks is told in a sentence; anything else is a fault of the code and keeps its stack.
    const told = error instanceof Error && ['FolderError', 'ApplicationFailure'].includes(error.name);
    console.error(told ? error.message : error);
    process.exitCode = 1;
  }
}

/** `parseArgs` of Node, with a UsageError for what it refuses. */
export function readArguments<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** A number at least `min`, or the default where the option was not given. */
export function numberOption(name: string, given: string | undefined, byDefault: number, min: number): number {
  if (given === undefined) return byDefault;
  const value = Number(given);
  if (given.trim() === '' || !Number.isFinite(value) || value < min) {
    throw new UsageError(`--${name} is "${given}", expected a number, at least ${min}.`);
  }
  return value;
}

export function wholeOption(name: string, given: string | undefined, byDefault: number, min: number): number {
  const value = numberOption(name, given, byDefault, min);
  if (!Number.isInteger(value)) throw new UsageError(`--${name} is "${given}", expected a whole number.`);
  return value;
}

/** `a.b=1` and the like, values as in YAML, to one object: `{ a: { b: 1 } }`. */
export function settingsOf(words: readonly string[]): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const word of words) {
    const match = /^([A-Za-z][\w.]*)=(.*)$/s.exec(word);
    if (match === null) throw new UsageError(`--set takes name=value, but was given "${word}".`);
    const names = match[1]!.split('.');
    let at = settings;
    for (const name of names.slice(0, -1)) {
      at[name] ??= {};
      at = at[name] as Record<string, unknown>;
    }
    at[names.at(-1)!] = parseYaml(match[2]!);
  }
  return settings;
}
