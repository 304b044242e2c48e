/** A parsed file of tests against its schema: every error becomes a problem at its node. */

import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { Problem } from './diagnostic.ts';
import { schemaOf } from './schemas.ts';
import type { ParsedSpec } from './types.ts';
import { problemsOfErrors } from './validate.ts';
import { validatorOptions } from './validators.ts';

let validator: ValidateFunction | undefined;

export function testFileProblems(parsed: ParsedSpec): Problem[] {
  const options = { ...validatorOptions, code: { optimize: false } };
  validator ??= new Ajv2020(options).compile(schemaOf('pipeline-test.schema.json') as object);
  validator(parsed.value);
  return problemsOfErrors(validator.errors ?? [], parsed, 'test file');
}
