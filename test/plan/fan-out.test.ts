/** `matrix` and `forEach` from a file to the plan: legs, names, types, and every problem at its place. */

import { describe, expect, test } from 'vitest';
import type { FanOutStep } from '../../plan/types.ts';
import { compileText, planOf, problemsOf, stepOf } from './compile-text.ts';

const data = 'data: { uses: synthesize, with: { images: 24, imageSize: 64 } }';
const head = `
      name: legs
      params: { lrs: { type: list, default: [0.01, 0.02] }, sites: { type: list, default: [a, b] } }
      steps:
        ${data}`;
const dataset = 'dataset: "${{ steps.data.dataset }}"';

const fanOut = (yaml: string, path: string) => stepOf(planOf(yaml), path) as FanOutStep;
const messagesOf = (yaml: string) =>
  compileText(yaml).diagnostics.map(({ message, hint }) => `${message} ${hint ?? ''}`);

describe('a matrix', () => {
  test('of params and written values becomes legs, each named by its values', () => {
    const tune = fanOut(
      `${head}
        tune:
          matrix:
            rate: "\${{ params.lrs }}"
            width: [0.125, 0.25]
            exclude: [{ rate: 0.02, width: 0.25 }]
            include: [{ rate: 0.02, width: 0.125, epochs: 2 }]
          concurrency: 2
          uses: train
          with: { ${dataset}, learningRate: "\${{ matrix.rate }}", width: "\${{ matrix.width }}", epochs: "\${{ has(matrix.epochs) ? matrix.epochs : 1 }}" }`,
      'tune',
    );
    expect(tune.type).toBe('fan-out');
    expect('matrix' in tune.legs && tune.legs.matrix.map(({ name }) => name)).toEqual([
      'rate=0.01,width=0.125',
      'rate=0.01,width=0.25',
      'epochs=2,rate=0.02,width=0.125',
    ]);
    expect(tune.concurrency).toBe(2);
    expect(tune.needs).toEqual(['data']);
    expect(tune.outputs).toBeUndefined();
    const [only] = tune.scope.steps;
    expect(only).toMatchObject({ id: '', kind: 'train', needs: [], with: { learningRate: { $: 'matrix.rate' } } });
  });

  test('gives a list in which each entry knows its leg, with types', () => {
    const yaml = `${head}
        tune:
          matrix: { width: [0.125, 0.25] }
          uses: train
          with: { ${dataset}, width: "\${{ matrix.width }}" }
        merge: { uses: merge, with: { models: "\${{ steps.tune.all.map(leg, leg.matrix.width < 0.2, leg.model) }}" } }
        wrong: { uses: merge, with: { models: "\${{ steps.tune.all.map(leg, leg.matrix.depth) }}" } }
        other: { uses: merge, with: { models: "\${{ steps.tune.all.map(leg, leg.curves) }}" } }`;
    expect(problemsOf(yaml)).toEqual([
      '10 UNKNOWN_NAME depth',
      '11 WRONG_ARTIFACT steps.tune.all.map(leg, leg.curves)',
    ]);
  });

  test('warns of nothing left, of a combination twice, and of too many', () => {
    const matrix = (text: string) => `${head}
        tune: { matrix: ${text}, uses: train, with: { ${dataset} } }`;
    expect(problemsOf(matrix('{ a: [1, 2], exclude: [{ a: 1 }, { a: 2 }] }'))).toEqual(['5 NO_LEGS matrix']);
    expect(problemsOf(matrix('{ a: [1], include: [{ b: 1 }, { a: 2 }, { a: 2 }] }'))).toEqual([
      '5 DUPLICATE_LEG matrix',
    ]);
    expect(problemsOf(matrix('{ a: [1, 1] }'))).toEqual(['5 INVALID_VALUE [1, 1]']);
    const list = `[${Array.from({ length: 80 }, (_, i) => i)}]`;
    expect(messagesOf(matrix(`{ a: ${list}, b: ${list} }`))).toEqual([
      'The matrix of "tune" has 6400 combinations; at most 5000 legs are possible. Give shorter lists, or exclude combinations.',
    ]);
    expect(messagesOf(matrix(`{ a: ${list}, b: ${list}, c: ${list}, d: ${list}, e: ${list} }`))[0]).toContain(
      '3276800000',
    );
  });

  test('without axes is its entries of include', () => {
    const tune = fanOut(
      `${head}
        tune:
          matrix: { include: [{ width: 0.125 }, { width: 0.25, epochs: 2 }] }
          uses: train
          with: { ${dataset}, width: "\${{ matrix.width }}" }`,
      'tune',
    );
    expect('matrix' in tune.legs && tune.legs.matrix.map(({ name }) => name)).toEqual([
      'width=0.125',
      'epochs=2,width=0.25',
    ]);
  });

  test('needs its legs before the run', () => {
    const yaml = `${head}
        tune: { matrix: { a: ["\${{ steps.data.dataset }}"] }, uses: train, with: { ${dataset} } }`;
    expect(problemsOf(yaml)).toEqual(['5 EXPRESSION_TYPE ${{ steps.data.dataset }}']);
  });

  test('has names that not every leg has, which are asked for before', () => {
    const yaml = `${head}
        tune:
          matrix: { width: [0.125, 0.25], include: [{ width: 0.25, epochs: 2 }] }
          uses: train
          with: { ${dataset}, epochs: "\${{ matrix.epochs }}" }`;
    expect(problemsOf(yaml)).toEqual(['8 MAYBE_ABSENT matrix.epochs']);
  });

  test('is checked in every leg as if it were written out', () => {
    const yaml = (epochs: string) => `${head}
        tune:
          matrix: { size: [1, 0, -1], include: [{ size: 5, name: x }] }
          uses: train
          with: { ${dataset}, epochs: "${epochs}" }`;
    expect(messagesOf(yaml('${{ matrix.size }}'))).toEqual([
      'epochs is 0; expected a whole number from 1 to 100000. It comes from ${{ matrix.size }} in the leg size=0. ',
    ]);
    expect(problemsOf(yaml('${{ matrix.size + 2 }}'))).toEqual([]);
    expect(problemsOf(yaml('${{ has(matrix.name) ? 0 : 1 }}'))).toEqual([
      '8 INVALID_VALUE ${{ has(matrix.name) ? 0 : 1 }}',
    ]);
  });

  test('knows the axes that exclude may name', () => {
    const yaml = `${head}
        tune: { matrix: { width: [0.125, 0.25], exclude: [{ widht: 0.25 }] }, uses: train, with: { ${dataset} } }`;
    expect(messagesOf(yaml)).toEqual([
      'exclude names "widht", but the matrix of "tune" has no such axis. Did you mean "width"? Axes: width.',
    ]);
  });

  test('is checked as far as it goes where params have no value', () => {
    const yaml = `
      name: legs
      params: { lrs: { type: list } }
      steps:
        ${data}
        tune: { matrix: { lr: "\${{ params.lrs }}" }, uses: train, with: { ${dataset}, learningRate: "\${{ matrix.lr }}", epochs: "\${{ matrix.no }}" } }`;
    const { plan, diagnostics } = compileText(yaml, { paramsRequired: false });
    expect(plan).toBeUndefined();
    expect(diagnostics.map(({ code }) => code)).toEqual(['UNKNOWN_NAME']);
  });
});

describe('forEach', () => {
  test('over a param runs a sub-graph, whose outputs are typed', () => {
    const yaml = `${head}
        sites:
          forEach: params.sites
          steps:
            data: { uses: import-dataset, with: { source: "\${{ params.no }}" } }
            train: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: "\${{ index }}" } }
          outputs: { model: "\${{ steps.train.model }}", AP: "\${{ steps.train.AP }}" }
        merge: { uses: merge, with: { models: "\${{ steps.sites.all.map(site, site.model) }}" } }
        best: { uses: export, when: "steps.sites.all.exists(site, site.AP > 0.5 && site.index == 1)", with: { model: "\${{ steps.sites.all[0].mdoel }}" } }`;
    expect(problemsOf(yaml)).toEqual(['8 UNKNOWN_PARAM no', '12 UNKNOWN_NAME mdoel']);
  });

  test('knows the type of its entries', () => {
    const yaml = `${head}
        sites:
          forEach: [{ name: a, epochs: 1 }, { name: b, epochs: x }]
          uses: train
          with: { ${dataset}, epochs: "\${{ item.epochs }}", learningRate: "\${{ item.name }}", width: "\${{ item.wide }}" }`;
    expect(problemsOf(yaml)).toEqual(['8 EXPRESSION_TYPE item.name', '8 UNKNOWN_NAME wide']);
  });

  test('takes lists alone', () => {
    const yaml = `${head}
        sites: { forEach: steps.data.dataset, uses: train, with: { ${dataset} } }`;
    expect(messagesOf(yaml)).toEqual(['forEach takes a list; here is a dataset. ']);
  });

  test('over a list that a step gives keeps the expression', () => {
    const yaml = `${head}
        first: { matrix: { width: [0.125, 0.25] }, uses: train, with: { ${dataset}, width: "\${{ matrix.width }}" } }
        second: { forEach: "\${{ steps.first.all }}", uses: train, with: { ${dataset}, init: "\${{ item.model }}" } }`;
    const second = fanOut(yaml, 'second');
    expect(second.legs).toEqual({ forEach: { $: 'steps.first.all' } });
    expect(second.needs).toEqual(['data', 'first']);
  });
});

describe('a condition', () => {
  test('that reads what a leg sees is asked for each leg, any other once', () => {
    const yaml = (when: string) => `${head}
        sites: { forEach: [1, 2], when: "${when}", uses: train, with: { ${dataset} } }`;
    expect(
      fanOut(yaml('item > 1 && steps.data.images > 3'.replace('steps.data.images', 'size(params.sites)')), 'sites'),
    ).toMatchObject({
      legWhen: expect.stringContaining('item > 1'),
    });
    const once = fanOut(yaml('size(params.sites) > 5'), 'sites');
    expect([once.when, once.legWhen]).toEqual(['false', undefined]);
  });
});

describe('what is around a leg', () => {
  test('is seen through a loop in a matrix in a forEach', () => {
    const yaml = `${head}
        folds:
          forEach: params.sites
          steps:
            tune:
              matrix: { width: [0.125, 0.25] }
              steps:
                first: { uses: train, with: { ${dataset}, width: "\${{ matrix.width }}" } }
                rounds:
                  repeat: { max: 2, until: "round.index > index || carry.AP > matrix.width", carry: { model: "\${{ steps.first.model }}", AP: 0 } }
                  steps:
                    again:
                      matrix: { rate: [0.1, 0.2] }
                      uses: train
                      with: { ${dataset}, init: "\${{ carry.model }}", learningRate: "\${{ matrix.rate * matrix.width }}" }
                  next: { model: "\${{ steps.again.all[0].model }}", AP: "\${{ steps.again.all[0].AP }}" }
              outputs: { model: "\${{ steps.rounds.last.model }}" }
          outputs: { models: "\${{ steps.tune.all.map(leg, leg.model) }}" }
        merge: { uses: merge, with: { models: "\${{ steps.folds.all[0].models }}" } }`;
    expect(problemsOf(yaml)).toEqual([]);
    expect(planOf(yaml).root.steps.map(({ id, needs }) => `${id}: ${needs}`)).toEqual([
      'data: ',
      'folds: data',
      'merge: folds',
    ]);
  });

  test('does not include the step itself, nor what other legs see', () => {
    const yaml = `${head}
        tune: { matrix: { a: [1, 2] }, uses: train, with: { ${dataset}, epochs: "\${{ steps.tune.legs }}" } }
        other: { uses: train, with: { ${dataset}, epochs: "\${{ matrix.a }}" } }`;
    expect(problemsOf(yaml)).toEqual(['5 CYCLE steps.tune.legs', '6 UNKNOWN_NAME matrix']);
  });
});

test('keys that do not go together are named', () => {
  const yaml = `${head}
        a: { matrix: { x: [1] }, forEach: [1], uses: train, with: { ${dataset} } }
        b: { steps: { c: { uses: train, with: { ${dataset} } } } }
        d: { uses: train, concurrency: 3, with: { ${dataset} } }
        e: { forEach: [1], repeat: { max: 1 }, steps: { c: { uses: train, with: { ${dataset} } } } }
        f: { forEach: [1], uses: train, with: { ${dataset} }, outputs: { m: 1 } }`;
  expect(problemsOf(yaml)).toEqual([
    '5 UNKNOWN_KEY forEach',
    '6 MISSING_KEY b',
    '7 UNKNOWN_KEY concurrency',
    '8 UNKNOWN_KEY forEach',
    '9 UNKNOWN_KEY outputs',
  ]);
});

test('an output cannot take the name that says which leg it is of', () => {
  const yaml = `${head}
        sites: { forEach: [1], steps: { t: { uses: train, with: { ${dataset} } } }, outputs: { item: "\${{ steps.t.AP }}" } }`;
  expect(problemsOf(yaml)).toEqual(['5 INVALID_NAME item']);
});
