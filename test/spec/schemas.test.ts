/** The schemas are valid, say what the code does, and name what the table of step kinds names. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { withDefaults } from '../../plan/defaults.ts';
import { publicKinds, stepKinds } from '../../plan/step-kinds.ts';
import { kindSchema, publishedSchema, type Schema, schemaOf, stepKindNames } from '../../spec/schemas.ts';

const folder = join(import.meta.dirname, '../../schemas');
const files = readdirSync(folder, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.json'));

test('every file is known by its name', () => {
  expect(files.filter((name) => publishedSchema(name.replaceAll('\\', '/')) === null)).toEqual([]);
});

test.each(files)('%s is a JSON Schema of 2020-12', (name) => {
  const schema = JSON.parse(readFileSync(join(folder, name), 'utf8')) as { $schema: string };
  expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema');
  const ajv = new Ajv2020();
  expect([ajv.validateSchema(schema), ajv.errors]).toEqual([true, null]);
});

test('the published pipeline schema, with its references to files, accepts a whole pipeline', () => {
  const ajv = new Ajv2020({ strict: false });
  const base = 'https://example.test/';
  for (const name of files) ajv.addSchema(publishedSchema(name) as object, base + name);
  const validate = ajv.getSchema(`${base}pipeline.schema.json`)!;
  const steps = {
    data: { uses: 'synthesize' },
    model: { uses: 'train', with: { dataset: '${{ steps.data.dataset }}' } },
  };
  expect([validate({ name: 'x', steps }), validate.errors]).toEqual([true, null]);
  expect(validate({ name: 'x', steps: { model: { uses: 'train', with: { epochs: 0 } } } })).toBe(false);
});

test('every key of a pipeline file is described, for editors', () => {
  const pipeline = publishedSchema('pipeline.schema.json') as { readonly $defs: { readonly [name: string]: object } };
  const undescribed: string[] = [];
  const visit = (value: unknown, path: string) => {
    if (typeof value !== 'object' || value === null) return;
    const { properties } = value as { readonly properties?: { readonly [key: string]: unknown } };
    // In a condition, keys are asked about and not offered.
    const isCondition = /\/(if|then|else|not)(\/|$)/.test(path);
    for (const [key, property] of Object.entries(isCondition ? {} : (properties ?? {}))) {
      const { description, $ref } = property as { readonly description?: string; readonly $ref?: string };
      if (description === undefined && !($ref !== undefined && isDescribed($ref))) undescribed.push(`${path}/${key}`);
    }
    for (const [key, child] of Object.entries(value)) visit(child, `${path}/${key}`);
  };
  const isDescribed = ($ref: string): boolean => {
    let target: unknown = pipeline;
    for (const key of $ref.split('/').slice(1)) target = (target as { readonly [key: string]: unknown })?.[key];
    return (target as { readonly description?: string } | undefined)?.description !== undefined;
  };
  visit(pipeline, '');
  expect(undescribed).toEqual([]);
});

test('there is a schema for each public kind, and the pipeline schema offers just those', () => {
  const pipeline = schemaOf('pipeline.schema.json') as unknown as {
    $defs: { step: { properties: { uses: { enum: string[]; enumDescriptions: string[] } } } };
  };
  expect([...stepKindNames()].sort()).toEqual([...publicKinds].sort());
  const { uses } = pipeline.$defs.step.properties;
  expect([...uses.enum].sort()).toEqual([...publicKinds].sort());
  expect(uses.enumDescriptions).toEqual(uses.enum.map((kind) => kindSchema(kind).description));
});

describe.each(publicKinds)('%s', (kind) => {
  const schema = kindSchema(kind);

  test('has every input of the table, but those that the compiler adds', () => {
    const missing = Object.keys(stepKinds.get(kind)!.inputs).filter((path) => !hasProperty(schema, path.split('.')));
    expect(missing).toEqual(kind === 'evaluate' ? ['versions'] : []);
  });

  test('describes every parameter', () => {
    const undescribed = Object.entries(schema.properties ?? {}).filter(
      ([, property]) => typeof property === 'boolean' || !property.description,
    );
    expect(undescribed.map(([name]) => name)).toEqual([]);
  });

  test('accepts its own defaults', () => {
    const { required: _, minProperties: __, ...open } = schema;
    const validate = new Ajv2020({ strict: false }).compile(open);
    expect([validate(withDefaults(schema, {})), validate.errors]).toEqual([true, null]);
  });

  test('has a section in docs/steps.md that names its parameters', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/steps.md'), 'utf8');
    const section = page.split(/^## /m).find((part) => part.startsWith(`${kind}\n`)) ?? '';
    const shared = kind === 'search-capacity' ? Object.keys(schemaOf('training.schema.json').properties ?? {}) : [];
    const unnamed = Object.keys(schema.properties ?? {}).filter(
      (name) => !shared.includes(name) && !section.includes(`\`${name}`),
    );
    expect(unnamed).toEqual([]);
  });
});

test('the defaults of the recipe are those of the trainer', async () => {
  const { defaultTrainOptions } = await import('../../detection/model/train.ts');
  const filled = withDefaults(schemaOf('training.schema.json'), {}) as { readonly [name: string]: unknown };
  const recipe = Object.fromEntries(Object.keys(defaultTrainOptions).map((name) => [name, filled[name]]));
  expect(recipe).toEqual(defaultTrainOptions);
});

function hasProperty(schema: Schema, path: readonly string[]): boolean {
  const [name, ...rest] = path;
  if (name === undefined) return true;
  return branchesOf(schema).some((branch) => {
    const property = branch.properties?.[name];
    return typeof property === 'object' && hasProperty(property, rest);
  });
}

const branchesOf = (schema: Schema): readonly Schema[] => schema.anyOf?.flatMap(branchesOf) ?? [schema];
