/** The directions of imports, checked by reading the import statements: docs/architecture.md says why they are so. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Folders and single files that a folder may import: with its code, or for types alone. */
interface Directions {
  readonly code: readonly string[];
  readonly types: readonly string[];
}

const anyOfOurs = [
  'spec',
  'plan',
  'workflows',
  'simulate',
  'activities',
  'detection',
  'artifacts',
  'report',
  'review',
  'deploy',
];

const directions: { readonly [folder: string]: Directions } = {
  detection: { code: [], types: [] },
  spec: { code: ['schemas'], types: [] },
  // The compiler checks and folds expressions, so it takes more of spec/ than types.
  plan: { code: ['spec'], types: [] },
  // Identity is canonical JSON, in plans and in the store alike.
  artifacts: { code: ['plan/canonical.ts', 'plan/types.ts'], types: ['detection', 'plan', 'activities/context.ts'] },
  report: { code: ['detection'], types: ['plan', 'artifacts'] },
  // What a workflow imports is bundled and must be deterministic: nothing that reads a file, a clock or the network.
  workflows: {
    code: [
      'plan/form.ts',
      'plan/retry.ts',
      'plan/values.ts',
      'plan/types.ts',
      'plan/paths.ts',
      'plan/legs.ts',
      'plan/loop-body.ts',
      'plan/upgrade.ts',
      'plan/limits.ts',
      'plan/step-events.ts',
      'plan/plateau.ts',
      'plan/round-end.ts',
      'plan/value-bytes.ts',
      'plan/canonical.ts',
      'spec/expression.ts',
      'detection/decisions.ts',
    ],
    types: ['plan', 'activities', 'detection', 'artifacts'],
  },
  // Answers the interpreter in place of Temporal and of the steps.
  simulate: { code: ['plan', 'spec', 'activities', 'artifacts', 'workflows/messages.ts'], types: [] },
  activities: { code: ['plan', 'spec', 'detection', 'artifacts', 'report'], types: ['workflows'] },
  review: {
    code: ['artifacts', 'detection', 'plan/canonical.ts', 'plan/form.ts', 'plan/types.ts', 'workflows/messages.ts'],
    types: ['plan'],
  },
  deploy: { code: anyOfOurs, types: [] },
  // Nothing imports cli/ but its tests.
  cli: { code: anyOfOurs, types: [] },
  bench: { code: anyOfOurs, types: [] },
};

/** Node's own modules that touch no file, network or clock. */
const pureModules = ['node:crypto', 'node:buffer', 'node:util', 'node:assert'];
/** TensorFlow's binding takes saved graphs from files only, and gives memory back only by the end of a process. */
const bindingFiles = [
  'detection/model/tf.ts',
  'detection/model/traced-graph.ts',
  'detection/model/trace-apart.ts',
  'detection/model/trace-process.ts',
];

interface Import {
  readonly target: string;
  readonly typesOnly: boolean;
}

describe.each(Object.keys(directions).filter((folder) => existsSync(join(root, folder))))('%s/', (folder) => {
  const { code, types } = directions[folder]!;
  const files = readdirSync(join(root, folder), { recursive: true })
    .map((name) => posix.join(folder, String(name).replaceAll('\\', '/')))
    .filter((name) => name.endsWith('.ts'));

  test('imports only in its directions', () => {
    const allowed = ({ target, typesOnly }: Import) =>
      isIn(target, [folder, ...code]) || (typesOnly && isIn(target, types));
    expect(wrongImports(files, (each) => !each.target.includes(':') && each.target !== '' && !allowed(each))).toEqual(
      [],
    );
  });

  test('writes the ending of every file that it imports', () => {
    const bare = (each: Import) =>
      !each.target.includes(':') && each.target !== '' && !/\.(ts|json|mjs)$/.test(each.target);
    expect(wrongImports(files, bare)).toEqual([]);
  });

  if (['spec', 'plan', 'detection', 'report'].includes(folder)) {
    test('touches no file, network or clock', () => {
      const pure = files.filter((file) => !bindingFiles.includes(file));
      const impure = (each: Import) =>
        each.target.startsWith('node:') && !each.typesOnly && !pureModules.includes(each.target);
      expect(wrongImports(pure, impure)).toEqual([]);
    });
  }

  if (folder === 'workflows') {
    test('imports nothing of Node, not even through others', () => {
      const reached = reachableFiles(files);
      expect(wrongImports([...reached], (each) => each.target.startsWith('node:') && !each.typesOnly)).toEqual([]);
      expect([...reached].filter((file) => file.startsWith('plan/compile'))).toEqual([]);
    });
  }
});

test('every form of an import is read', () => {
  const text = `
import type { A } from './a.ts';
import { type B, type C } from '../spec/b.ts';
import {
  d,
  type E,
} from '../spec/d.ts';
// import { no } from './comment.ts';
export { f } from './f.ts';
import './g.ts';
import vitest from 'vitest';
const h = await import('../cli/h.ts');
`;
  expect(importsIn('plan/x.ts', text)).toEqual([
    { target: 'plan/a.ts', typesOnly: true },
    { target: 'spec/b.ts', typesOnly: true },
    { target: 'spec/d.ts', typesOnly: false },
    { target: 'plan/f.ts', typesOnly: false },
    { target: '', typesOnly: false },
    { target: 'plan/g.ts', typesOnly: false },
    { target: 'cli/h.ts', typesOnly: false },
  ]);
});

function isIn(target: string, places: readonly string[]): boolean {
  return places.some((place) => target === place || target.startsWith(`${place}/`));
}

/** `file -> target` of the imports that are wrong. */
function wrongImports(files: readonly string[], isWrong: (each: Import) => boolean): string[] {
  return files.flatMap((file) =>
    importsOf(file)
      .filter(isWrong)
      .map(({ target }) => `${file} -> ${target}`),
  );
}

/** Every file of ours whose code comes along. */
function reachableFiles(files: readonly string[]): ReadonlySet<string> {
  const reached = new Set<string>();
  const open = [...files];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (reached.has(file) || !file.endsWith('.ts')) continue;
    reached.add(file);
    for (const { target, typesOnly } of importsOf(file)) if (!typesOnly && !target.includes(':')) open.push(target);
  }
  return reached;
}

/** Ours from the root (`plan/types.ts`), Node's with their prefix; packages have an empty target. */
function importsOf(file: string): Import[] {
  return importsIn(file, readFileSync(join(root, file), 'utf8'));
}

function importsIn(file: string, source: string): Import[] {
  const text = source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const statements = [...text.matchAll(/^(?:import|export)\s+(type\s+)?([^;'"]*?)\s*from\s+'([^']+)'/gm)].map(
    ([, type, names, target]) => ({ target: target!, typesOnly: type !== undefined || onlyTypes(names!) }),
  );
  const plain = [...text.matchAll(/(?:^import\s+|\bimport\()'([^']+)'/gm)].map(([, target]) => ({
    target: target!,
    typesOnly: false,
  }));
  return [...statements, ...plain].map(({ target, typesOnly }) => ({ target: fromRoot(file, target), typesOnly }));
}

/** `{ type A, type B }`. */
function onlyTypes(names: string): boolean {
  const inside = /^\{([\s\S]*)\}$/
    .exec(names.trim())?.[1]
    ?.split(',')
    .map((name) => name.trim());
  return inside?.every((name) => name === '' || name.startsWith('type ')) ?? false;
}

function fromRoot(file: string, target: string): string {
  if (target.startsWith('node:')) return target;
  if (!target.startsWith('.')) return '';
  return relative(root, resolve(root, dirname(file), target)).replaceAll('\\', '/');
}
