/**
 * Values of secrets, known to activities alone: from the environment of the worker (`HARDCASE_SECRET_NAME`), else from
 * the file that HARDCASE_SECRETS_FILE names, which nobody else may read. A plan has `{ "$secret": "NAME" }`.
 */

import { readFileSync, statSync } from 'node:fs';
import { ApplicationFailure } from '@temporalio/activity';
import type { Json } from '../plan/types.ts';
import { secretNameOf, textPartsOf } from '../plan/values.ts';
import { keysOfPointer, pointerTo } from '../spec/types.ts';

/** Names of the secrets at these places of a step's inputs (`StepRequest.secrets`). What looks like one elsewhere is data. */
export function secretNames(value: Json, places: readonly string[]): string[] {
  return places.flatMap((place) => {
    const found = valueAt(value, place);
    const parts = found === undefined ? null : (textPartsOf(found) ?? [found]);
    return (parts ?? []).map(secretNameOf).filter((name) => name !== null);
  });
}

/** The value with every secret in its place. Throws one error that names all that are missing. */
export function withSecrets<Value extends Json>(
  value: Value,
  places: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Value {
  return replaced(value, places, secretsOf(value, places, environment)) as Value;
}

/** Values of the secrets that are part of a step's inputs, by their names. Throws one error that names all that are missing. */
export function secretsOf(
  value: Json,
  places: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): ReadonlyMap<string, string> {
  const names = [...new Set(secretNames(value, places))];
  const known = new Map(
    names.flatMap((name) => {
      const secret = environment[`HARDCASE_SECRET_${name}`];
      return secret === undefined || secret === '' ? [] : [[name, secret] as const];
    }),
  );
  const file = environment.HARDCASE_SECRETS_FILE;
  if (known.size < names.length && file) {
    const inFile = readSecretsFile(file);
    for (const name of names) {
      const secret = inFile.get(name);
      if (!known.has(name) && secret !== undefined) known.set(name, secret);
    }
  }
  const missing = names.filter((name) => !known.has(name));
  if (missing.length > 0) {
    const [first] = missing;
    const where = file ? `in ${file}, which HARDCASE_SECRETS_FILE names` : 'in a file that HARDCASE_SECRETS_FILE names';
    throw ApplicationFailure.nonRetryable(
      `This worker has no value for the secret${missing.length > 1 ? 's' : ''} ${missing.join(', ')}. Set HARDCASE_SECRET_${first}, or put the line ${first}=VALUE ${where}, where the worker is started.`,
      'MissingSecret',
    );
  }
  return known;
}

/** The value with every secret at these places, alone or within text, by its value. */
export function replaced(value: Json, places: readonly string[], known: ReadonlyMap<string, string>, at = ''): Json {
  if (places.includes(at)) return revealed(value, known);
  if (!places.some((place) => place.startsWith(`${at}/`))) return value;
  if (Array.isArray(value)) return value.map((item, i) => replaced(item, places, known, pointerTo(at, i)));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value as { readonly [key: string]: Json });
  return Object.fromEntries(entries.map(([key, item]) => [key, replaced(item, places, known, pointerTo(at, key))]));
}

/** Other values stay as they are: people gave them to the step in place of the secret. */
function revealed(value: Json, known: ReadonlyMap<string, string>): Json {
  const name = secretNameOf(value);
  if (name !== null) return known.get(name)!;
  return (
    textPartsOf(value)
      ?.map((part) => revealed(part, known))
      .join('') ?? value
  );
}

/** What a JSON Pointer leads to; undefined where it leads nowhere. */
function valueAt(value: Json, pointer: string): Json | undefined {
  return keysOfPointer(pointer).reduce<Json | undefined>(
    (inner, key) =>
      typeof inner === 'object' && inner !== null && Object.hasOwn(inner, key)
        ? (inner as { readonly [key: string]: Json })[key]
        : undefined,
    value,
  );
}

/** Lines `NAME=VALUE`; empty ones, and those that begin with #, say nothing. */
function readSecretsFile(file: string): ReadonlyMap<string, string> {
  const refuse = (problem: string) =>
    ApplicationFailure.nonRetryable(`The secrets file ${file} ${problem}`, 'MissingSecret');
  let text: string;
  try {
    const mode = statSync(file).mode & 0o777;
    if ((mode & 0o077) !== 0) {
      throw refuse(`may be read by others (mode ${mode.toString(8)}). Make it yours alone: chmod 600 ${file}`);
    }
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw error instanceof ApplicationFailure ? error : refuse(`cannot be read: ${(error as Error).message}`);
  }
  const secrets = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const equals = line.indexOf('=');
    if (equals > 0 && !line.trimStart().startsWith('#'))
      secrets.set(line.slice(0, equals).trim(), line.slice(equals + 1));
  }
  return secrets;
}

/**
 * Takes the values of secrets out of what leaves an activity: messages, errors with their stacks and causes. A secret is
 * found by itself, whatever text it was put into, and also as JSON writes it.
 */
export function redactor(secrets: Iterable<string>): { text(text: string): string; error(error: unknown): unknown } {
  const written = [...secrets].flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]);
  const values = [...new Set(written)].sort((a, b) => b.length - a.length);
  const text = (given: string) => values.reduce((left, value) => left.replaceAll(value, '***'), given);
  const seen = new Set<unknown>();
  const redact = (error: unknown): unknown => {
    if (typeof error === 'string') return text(error);
    if (!(error instanceof Error) || seen.has(error)) return error;
    seen.add(error);
    error.message = text(error.message);
    if (error.stack !== undefined) error.stack = text(error.stack);
    if (error.cause !== undefined) error.cause = redact(error.cause);
    return error;
  };
  return { text, error: (error) => (values.length === 0 ? error : redact(error)) };
}
