/** The validators of the schemas, each compiled when it is first asked. The build has them compiled for `hardcase check`. */

import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { kindSchema, structureSchema } from './schemas.ts';

/**
 * Not strict: `required` in a branch of `if` names properties that another branch defines. The schemas themselves are
 * checked by a test, and optimizing the generated code takes longer than running it once.
 */
export const validatorOptions = { allErrors: true, verbose: true, strict: false, validateSchema: false } as const;

const validators = new Map<string, ValidateFunction>();

/** Of the parameters of a kind; '' is the structure of a file. */
export function validatorOf(name: string): ValidateFunction {
  let validator = validators.get(name);
  if (validator === undefined) {
    const schema = name === '' ? structureSchema() : kindSchema(name);
    validator = new Ajv2020({ ...validatorOptions, code: { optimize: false } }).compile(schema as object);
    validators.set(name, validator);
  }
  return validator;
}
