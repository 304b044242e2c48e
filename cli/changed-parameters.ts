/** `-p NAME=VALUE` of `retry` and `reset`: new values of a step's parameters, checked as in a file. */

import { parse } from 'yaml';
import { stepKinds } from '../plan/step-kinds.ts';
import type { Json, PlannedStep } from '../plan/types.ts';
import { hasExpression } from '../spec/expression-text.ts';
import { kindSchema, type Schema, stepKindNames } from '../spec/schemas.ts';
import { problemsOfGiven } from '../spec/validate.ts';
import { CommandError, didYouMean, exitCodes } from './output.ts';

type Values = { readonly [name: string]: Json };

/** Throws with every problem; undefined where nothing is changed. `replay.share=0.5` reaches into a mapping. */
export function readChangedParameters(words: readonly string[], path: string, step: PlannedStep): Values | undefined {
  if (words.length === 0) return undefined;
  if (!('with' in step) || !stepKindNames().includes(step.kind)) {
    throw usage(`${path} has no parameters of its own that could be changed.`);
  }
  const changes: { [name: string]: Json } = {};
  for (const word of words) {
    const equals = word.indexOf('=');
    if (equals < 1) throw usage(`-p ${word}: expected NAME=VALUE, such as -p epochs=20.`);
    const keys = word.slice(0, equals).split('.');
    checkName(keys[0]!, step.kind);
    put(changes, keys, readValue(word.slice(equals + 1)));
  }
  const problems = problemsOfGiven(step.kind, changes);
  if (problems.length > 0) throw usage(problems.map((problem) => `-p: ${problem}`).join('\n'));
  return changes;
}

function checkName(name: string, kind: string): void {
  const known = Object.keys((kindSchema(kind) as Schema).properties ?? {});
  const inputs = Object.keys(stepKinds.get(kind)?.inputs ?? {});
  if (inputs.includes(name)) {
    throw usage(`-p ${name}: that is what other steps give to it, and comes from the pipeline file.`);
  }
  if (known.includes(name)) return;
  const near = didYouMean(name, known);
  throw usage(
    `-p ${name}: ${kind} has no such parameter.${near ? ` Did you mean "${near}"?` : ''} It has: ${known.filter((one) => !inputs.includes(one)).join(', ')}.`,
  );
}

/** As in the file: 20, true, [1, 2], relu, 30s. */
function readValue(text: string): Json {
  const value = parse(text) as Json;
  if (hasExpression(value)) throw usage(`"${text}" is an expression; a changed parameter is a plain value.`);
  return value;
}

function put(into: { [name: string]: Json }, keys: readonly string[], value: Json): void {
  const [key = '', ...rest] = keys;
  if (rest.length === 0) {
    into[key] = value;
    return;
  }
  const inner = { ...((into[key] ?? {}) as Values) };
  put(inner, rest, value);
  into[key] = inner;
}

const usage = (message: string): CommandError => new CommandError(message, exitCodes.usage);
