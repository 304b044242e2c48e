/** The published schemas, with references to other files put in place: for validation, defaults and types of parameters. */

import expression from '../schemas/expression.schema.json' with { type: 'json' };
import form from '../schemas/form.schema.json' with { type: 'json' };
import formField from '../schemas/form-field.schema.json' with { type: 'json' };
import pipeline from '../schemas/pipeline.schema.json' with { type: 'json' };
import pipelineTest from '../schemas/pipeline-test.schema.json' with { type: 'json' };
import detect from '../schemas/steps/detect.schema.json' with { type: 'json' };
import evaluate from '../schemas/steps/evaluate.schema.json' with { type: 'json' };
import exportFiles from '../schemas/steps/export.schema.json' with { type: 'json' };
import importDataset from '../schemas/steps/import-dataset.schema.json' with { type: 'json' };
import importModel from '../schemas/steps/import-model.schema.json' with { type: 'json' };
import merge from '../schemas/steps/merge.schema.json' with { type: 'json' };
import mine from '../schemas/steps/mine.schema.json' with { type: 'json' };
import profileLoss from '../schemas/steps/profile-loss.schema.json' with { type: 'json' };
import promote from '../schemas/steps/promote.schema.json' with { type: 'json' };
import quarantine from '../schemas/steps/quarantine.schema.json' with { type: 'json' };
import report from '../schemas/steps/report.schema.json' with { type: 'json' };
import reviewLabels from '../schemas/steps/review-labels.schema.json' with { type: 'json' };
import searchCapacity from '../schemas/steps/search-capacity.schema.json' with { type: 'json' };
import synthesize from '../schemas/steps/synthesize.schema.json' with { type: 'json' };
import trackForgetting from '../schemas/steps/track-forgetting.schema.json' with { type: 'json' };
import train from '../schemas/steps/train.schema.json' with { type: 'json' };
import training from '../schemas/training.schema.json' with { type: 'json' };
import { isRecord, type PlainValue } from './types.ts';

/** The part of JSON Schema that our schemas use. */
export interface Schema {
  readonly title?: string;
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly const?: PlainValue;
  readonly enum?: readonly PlainValue[];
  /** A word of editors: what each value of `enum` means. */
  readonly enumDescriptions?: readonly string[];
  readonly default?: PlainValue;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly pattern?: string;
  readonly minLength?: number;
  /** Our own word: a secret may stand there. */
  readonly secret?: boolean;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly uniqueItems?: boolean;
  readonly properties?: { readonly [name: string]: Schema | boolean };
  readonly additionalProperties?: Schema | boolean;
  readonly minProperties?: number;
  readonly required?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly dependentSchemas?: { readonly [name: string]: Schema };
}

/** By file name, relative to schemas/. */
const files: { readonly [name: string]: unknown } = {
  'expression.schema.json': expression,
  'form.schema.json': form,
  'form-field.schema.json': formField,
  'pipeline.schema.json': pipeline,
  'pipeline-test.schema.json': pipelineTest,
  'training.schema.json': training,
  'steps/detect.schema.json': detect,
  'steps/evaluate.schema.json': evaluate,
  'steps/export.schema.json': exportFiles,
  'steps/import-dataset.schema.json': importDataset,
  'steps/import-model.schema.json': importModel,
  'steps/promote.schema.json': promote,
  'steps/track-forgetting.schema.json': trackForgetting,
  'steps/merge.schema.json': merge,
  'steps/mine.schema.json': mine,
  'steps/profile-loss.schema.json': profileLoss,
  'steps/quarantine.schema.json': quarantine,
  'steps/report.schema.json': report,
  'steps/review-labels.schema.json': reviewLabels,
  'steps/search-capacity.schema.json': searchCapacity,
  'steps/synthesize.schema.json': synthesize,
  'steps/train.schema.json': train,
};

/** As published; null where there is none. */
export function publishedSchema(name: string): unknown {
  return Object.hasOwn(files, name) ? files[name] : null;
}

const inlined = new Map<string, Schema>();

/** A schema without references to other files; those within the file stay, because steps contain steps. */
export function schemaOf(name: string): Schema {
  let schema = inlined.get(name);
  if (schema === undefined) {
    if (!Object.hasOwn(files, name)) throw new Error(`Internal error: there is no schema "${name}".`);
    schema = inline(files[name] as PlainValue, name) as unknown as Schema;
    inlined.set(name, schema);
  }
  return schema;
}

/** pipeline.schema.json but for the parameters of the kinds: compiling all of those takes longer than most checks. */
export function structureSchema(): Schema {
  const whole = schemaOf('pipeline.schema.json') as unknown as { $defs: { step: { allOf: unknown } } };
  const { allOf: _, ...step } = whole.$defs.step;
  return { ...whole, $defs: { ...whole.$defs, step } } as Schema;
}

/** Parameters of a step kind. */
export const kindSchema = (kind: string): Schema => schemaOf(`steps/${kind}.schema.json`);

function inline(value: PlainValue, file: string): PlainValue {
  if (Array.isArray(value)) return value.map((item) => inline(item, file));
  if (!isRecord(value)) return value;
  const { $ref, ...rest } = value;
  const own = Object.fromEntries(Object.entries(rest).map(([key, item]) => [key, inline(item, file)]));
  if (typeof $ref !== 'string') return own;
  if ($ref.startsWith('#')) return { $ref, ...own };
  const [path, pointer = ''] = $ref.split('#') as [string, string?];
  const target = resolvePath(file, path);
  let found = files[target] as PlainValue | undefined;
  for (const key of pointer.split('/').slice(1)) found = isRecord(found) ? found[key] : undefined;
  if (found === undefined) throw new Error(`Internal error: ${file} refers to ${$ref}, which does not exist.`);
  const { $schema: _, ...content } = inline(found, target) as { readonly [key: string]: PlainValue };
  return { ...content, ...own };
}

function resolvePath(from: string, path: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}

const kindNames = Object.keys(files).flatMap((name) => /^steps\/(.+)\.schema\.json$/.exec(name)?.[1] ?? []);

/** Step kinds that have a schema, which are those that a file may use. */
export const stepKindNames = (): readonly string[] => kindNames;
