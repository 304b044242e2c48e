/** The pipelines that docs/pipeline-spec.md shows are sound, and it names every function that expressions have. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { functionArguments, methodArguments } from '../../spec/expression.ts';
import { paramTypes } from '../../spec/types.ts';
import { problemsOf } from '../plan/compile-text.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/pipeline-spec.md'), 'utf8');

test('its whole pipelines have no problem', () => {
  const pipelines = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((block) => block[1]!);
  expect(pipelines.map((text) => problemsOf(text))).toEqual([[]]);
});

test('every function, method and type of param is named', () => {
  const functions = Object.keys(functionArguments).map((name) => `\`${name}(`);
  const methods = Object.keys(methodArguments).map((name) => `\`.${name}(`);
  const types = paramTypes.map((type) => `\`${type}\``);
  expect([...functions, ...methods, ...types].filter((word) => !page.includes(word))).toEqual([]);
});
