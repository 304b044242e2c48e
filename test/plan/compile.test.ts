/** Plans of small pipelines: edges, scopes, folding, defaults, policies, and what each check finds where. */

import { describe, expect, test } from 'vitest';
import { compileText, dedent, planOf, problemsOf, stepOf, withOf } from './compile-text.ts';

const data = `
      name: test
      steps:
        data: { uses: synthesize }
        model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}" } }`;

describe('edges and order', () => {
  test('steps stand in the file in any order, and ties keep it', () => {
    //  data -> model -> table;  other
    const plan = planOf(`
      name: test
      steps:
        table: { uses: evaluate, with: { models: ["\${{ steps.model.model }}"], dataset: "\${{ steps.data.dataset }}" } }
        other: { uses: synthesize }
        model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}" } }
        data: { uses: synthesize }`);
    expect(plan.root.steps.map(({ id }) => id)).toEqual(['other', 'data', 'model', 'table']);
  });

  test('needs adds an order without data', () => {
    const plan = planOf(`${data}
        late: { uses: synthesize, needs: [model] }`);
    expect(stepOf(plan, 'late').needs).toEqual(['model']);
  });

  test('a loop waits for what its body reads outside of it', () => {
    const plan = planOf(`${data}
        loop:
          repeat: { max: 2 }
          steps:
            inner:
              repeat: { max: 1 }
              steps:
                train: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", init: "\${{ steps.model.model }}" } }`);
    expect(stepOf(plan, 'loop').needs).toEqual(['data', 'model']);
    expect(stepOf(plan, 'loop.inner').needs).toEqual([]);
  });

  test('an inner name hides the outer one', () => {
    const plan = planOf(`${data}
        loop:
          repeat: { max: 2, carry: { model: "\${{ steps.model.model }}" } }
          steps:
            model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", init: "\${{ carry.model }}" } }
            found: { uses: detect, with: { model: "\${{ steps.model.model }}", dataset: "\${{ steps.data.dataset }}" } }
          next: { model: "\${{ steps.model.model }}" }`);
    expect(stepOf(plan, 'loop.found').needs).toEqual(['model']);
    expect(stepOf(plan, 'loop').needs).toEqual(['data', 'model']);
  });

  test('every step of a circle is named, once', () => {
    const found = compileText(`
      name: test
      steps:
        data: { uses: synthesize }
        b: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", init: "\${{ steps.c.model }}" } }
        c: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", init: "\${{ steps.a.model }}" } }
        a: { uses: train, needs: [b], with: { dataset: "\${{ steps.data.dataset }}" } }`);
    expect(found.diagnostics.map(({ message }) => message)).toEqual([
      'These steps wait for each other: b -> c -> a -> b (each reads or needs the next).',
    ]);
  });

  test('a loop that its own steps read waits for itself', () => {
    const yaml = `${data}
        loop:
          repeat: { max: 2 }
          steps:
            merge: { uses: merge, with: { models: "\${{ steps.loop.all.map(r, r.model) }}" } }`;
    expect(problemsOf(yaml)).toEqual(['8 CYCLE steps.loop.all']);
  });
});

describe('params in the plan', () => {
  const yaml = `
      name: test
      params:
        images: { type: integer, default: 40, minimum: 3 }
        share: { type: number, default: 0.25 }
        bias: { type: number, default: 0 }
      steps:
        data: { uses: synthesize, with: { images: "\${{ params.images * 2 }}" } }
        model:
          uses: train
          when: steps.data.dataset == steps.data.dataset && params.bias < 0.5
          with: { dataset: "\${{ steps.data.dataset }}", augment: { mosaic: "\${{ params.share }}" } }
        report: { uses: report, with: { tables: [], title: "\${{ params.images }} images" } }
        second: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: "\${{ steps.model.AP > -params.bias ? 3 : 2 }}" } }`;

  test('what params alone decide is a value; elsewhere they have theirs', () => {
    const plan = planOf(yaml, { params: { bias: '-0.5' } });
    expect(withOf(plan, 'data').images).toBe(80);
    expect(withOf(plan, 'report').title).toBe('40 images');
    expect(stepOf(plan, 'model').when).toBe('steps.data.dataset == steps.data.dataset && (-0.5) < 0.5');
    expect(withOf(plan, 'second').epochs).toEqual({ $: 'steps.model.AP > -(-0.5) ? 3 : 2' });
  });

  test('a value that a param gives is checked like one that was written', () => {
    expect(problemsOf(yaml, { params: { share: '1.5' } })).toEqual(['11 INVALID_VALUE ${{ params.share }}']);
    expect(problemsOf(yaml, { params: { images: '2' } })).toEqual(['3 INVALID_PARAM images']);
  });

  test('a condition that params alone decide is decided', () => {
    const when = (value: string) =>
      stepOf(
        planOf(`
        name: test
        params: { on: { type: boolean, default: ${value} } }
        steps: { data: { uses: synthesize, when: params.on } }`),
        'data',
      ).when;
    expect([when('true'), when('false')]).toEqual([undefined, 'false']);
  });

  test('to check a file no param needs a value', () => {
    const open = `
      name: test
      params: { images: { type: integer } }
      steps: { data: { uses: synthesize, with: { images: "\${{ params.images }}" } } }`;
    expect(problemsOf(open)).toEqual(['2 MISSING_PARAM images']);
    const checked = compileText(open, { paramsRequired: false });
    expect([checked.diagnostics, checked.plan]).toEqual([[], undefined]);
  });
});

describe('defaults and policies', () => {
  test('a default written out is the same plan as one left out', () => {
    const short = compileText('name: test\nsteps: { data: { uses: synthesize } }');
    const long = compileText(`
      # A comment, another order, another style.
      steps:
        data: { with: { targets: 5, images: 200, errors: { missing: 0.08 } }, uses: synthesize }
      name: test`);
    expect(long.planDigest).toBe(short.planDigest);
    expect(long.planDigest).toMatch(/^[0-9a-f]{64}$/);
  });

  test('the architecture has no defaults where weights bring it along', () => {
    const plan = planOf(`${data}
        more: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", init: "\${{ steps.model.model }}" } }`);
    expect(withOf(plan, 'model')).toMatchObject({ imageSize: 320, depth: 0.33, width: 0.25 });
    expect(withOf(plan, 'more')).not.toHaveProperty('depth');
    expect(
      problemsOf(`${data}
        more: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", init: "\${{ steps.model.model }}", depth: 1 } }`),
    ).toEqual(['5 UNKNOWN_KEY depth']);
  });

  test('a published network has no depth or width, given or by default', () => {
    const plan = planOf(`${data}
        v4: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", structure: yolov4-tiny } }`);
    const given = Object.keys(withOf(plan, 'v4'));
    expect(given).toContain('structure');
    expect(given.filter((name) => ['depth', 'width', 'strides', 'activation'].includes(name))).toEqual([]);
    const { diagnostics } = compileText(`${data}
        v4: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", structure: yolov4-tiny, depth: 0.5 } }`);
    expect(diagnostics).toMatchObject([
      {
        code: 'UNKNOWN_KEY',
        hint: 'The published networks of `structure` have depth, width, strides and activation of their own.',
      },
    ]);
  });

  test('retry and timeout replace what the kind has', () => {
    const plan = planOf(`
      name: test
      params: { patience: { type: duration, default: 1h30m } }
      steps:
        a: { uses: synthesize, retry: 5, timeout: "\${{ params.patience }}" }
        b: { uses: synthesize, retry: { max: 0, initial: 10s, factor: 3, longest: 5m } }`);
    expect(stepOf(plan, 'a')).toMatchObject({ retry: { max: 5, initialMs: 1000 }, timeoutMs: 5_400_000 });
    expect(stepOf(plan, 'b')).toMatchObject({ retry: { max: 0, initialMs: 10_000, factor: 3, maxMs: 300_000 } });
  });

  test('a timeout is known before the run', () => {
    expect(
      problemsOf(`${data}
        late: { uses: synthesize, timeout: "\${{ steps.model.AP }}" }`),
    ).toEqual(['5 EXPRESSION_TYPE ${{ steps.model.AP }}']);
  });
});

describe('loops', () => {
  const loop = (repeat: string, next: string, after = '') => `${data}
        loop:
          repeat: { ${repeat} }
          steps:
            mine: { uses: mine, with: { model: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}" } }
            train: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}", select: "\${{ steps.mine.hardImages }}" } }
          next: { ${next} }${after}`;
  const carry = 'carry: { model: "${{ steps.model.model }}" }';

  test('all is a list of what rounds hand on, with its types', () => {
    const after = `
        files: { uses: export, with: { dataset: "\${{ steps.loop.all[0].model }}" } }`;
    expect(
      problemsOf(loop(`max: 2, ${carry}`, 'model: "${{ steps.train.model }}", AP: "${{ steps.train.AP }}"', after)),
    ).toEqual(['11 WRONG_ARTIFACT steps.loop.all[0].model']);
  });

  test('a round hands on what the next one expects', () => {
    expect(problemsOf(loop(`max: 2, ${carry}`, 'model: "${{ steps.mine.candidates }}"'))).toEqual([
      '10 WRONG_ARTIFACT steps.mine.candidates',
    ]);
  });

  test('carry and round exist only inside', () => {
    expect(
      problemsOf(`${data}
        more: { uses: train, when: round.index > 1, with: { dataset: "\${{ carry.dataset }}" } }`),
    ).toEqual(['5 UNKNOWN_NAME round', '5 UNKNOWN_NAME carry']);
  });

  test.each([
    ['max: 0', ['11 UNGUARDED_LAST steps.loop.last.model']],
    ['max: 1', []],
    ['max: "${{ size([]) }}"', ['11 UNGUARDED_LAST steps.loop.last.model']],
  ])('with %s, last is read with care', (max, expected) => {
    const next = 'model: "${{ steps.train.model }}"';
    const after = `
        files: { uses: export, with: { model: "\${{ steps.loop.last.model }}" } }`;
    expect(problemsOf(loop(`${max}, ${carry}`, next, after))).toEqual(expected);
  });

  test.each([
    'size(steps.loop.all) > 0 ? steps.loop.last.model : steps.model.model',
    'has(steps.loop.last) ? steps.loop.last.model : null',
  ])('%s is care enough', (expression) => {
    const after = `
        files: { uses: export, with: { model: "\${{ ${expression} }}" } }`;
    expect(problemsOf(loop(`max: 0, ${carry}`, 'model: "${{ steps.train.model }}"', after))).toEqual([]);
  });

  test('a param whose minimum is 1 makes a round certain', () => {
    const yaml = `
      name: test
      params: { rounds: { type: integer, minimum: 1, default: 2 } }
      steps:
        loop:
          repeat: { max: "\${{ params.rounds }}" }
          steps: { data: { uses: synthesize } }
          next: { dataset: "\${{ steps.data.dataset }}" }
        files: { uses: export, with: { dataset: "\${{ steps.loop.last.dataset }}" } }`;
    expect(problemsOf(yaml)).toEqual([]);
  });

  test('the loop ends empty only where its own mining refills the selection', () => {
    const yaml = (select: string) => `${data}
        all: { uses: mine, with: { model: "\${{ steps.model.model }}", dataset: "\${{ steps.data.dataset }}" } }
        loop:
          repeat: { max: 2, carry: { select: "\${{ steps.all.hardImages }}" } }
          steps:
            mine: { uses: mine, with: { model: "\${{ steps.model.model }}", dataset: "\${{ steps.data.dataset }}", select: "\${{ carry.select }}" } }
          next: { select: "\${{ ${select} }}" }`;
    expect(stepOf(planOf(yaml('steps.mine.hardImages')), 'loop')).toMatchObject({ endWhenEmpty: 'select' });
    expect(stepOf(planOf(yaml('steps.all.hardImages')), 'loop')).not.toHaveProperty('endWhenEmpty');
  });

  test('gain takes another name where the file has a step of its own called so', () => {
    const plan = planOf(`${data}
        loop:
          repeat: { max: 2, carry: { model: "\${{ steps.model.model }}", data: "\${{ steps.data.dataset }}" } }
          steps:
            gain: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ carry.data }}" } }
            only: { uses: export, when: round.gain.low > 0, with: { model: "\${{ steps.gain.model }}" } }
          next: { model: "\${{ steps.gain.model }}" }`);
    expect(stepOf(plan, 'loop')).toMatchObject({ gain: 'gain2' });
    expect(stepOf(plan, 'loop.only').needs).toEqual(['gain', 'gain2']);
  });
});

describe('label versions of an evaluation', () => {
  const review = (id: string, more = '') =>
    `${id}: { uses: review-labels, ${more} with: { dataset: "\${{ steps.data.dataset }}", candidates: "\${{ steps.errors.candidates }}" } }`;
  const errors =
    'errors: { uses: mine, with: { model: "${{ steps.model.model }}", dataset: "${{ steps.data.dataset }}" } }';
  const table = `table: { uses: evaluate, with: { models: ["\${{ steps.model.model }}"], dataset: "\${{ steps.data.dataset }}", labels: all } }`;

  test('a review that waits for the table is none of its versions', () => {
    const plan = planOf(`${data}
        ${errors}
        ${review('one')}
        ${review('two', 'needs: [table],')}
        ${table}`);
    expect(withOf(plan, 'table').versions).toEqual({ $: '[steps.one.dataset]' });
    expect(stepOf(plan, 'table').needs).not.toContain('two');
  });

  test('a review that may be skipped counts where it was not', () => {
    const plan = planOf(`${data}
        ${errors}
        ${review('one', 'when: steps.model.AP < 0.5,')}
        ${table}`);
    expect(withOf(plan, 'table').versions).toEqual({
      $: '(has(steps.one.dataset) ? [steps.one.dataset] : [])',
    });
  });

  test('without a review there are none', () => {
    expect(withOf(planOf(`${data}\n        ${table}`), 'table').versions).toEqual({ $: '[]' });
  });
});

test('all problems come at once, in the order of the file', () => {
  const yaml = `
      name: 9lives
      sead: 2
      params:
        data: { type: pth }
      steps:
        data: { uses: import-dataset, with: { source: "\${{ params.data }}", onInvalid: dropp } }
        errors: { uses: mine, with: { model: "\${{ steps.cap.model }}", dataset: "\${{ steps.dta.dataset }}", splits: [tain] } }
        cap: { uses: search-capasity }
        last: { uses: merge }`;
  expect(problemsOf(yaml)).toEqual([
    '1 INVALID_VALUE 9lives',
    '2 UNKNOWN_KEY sead',
    '4 INVALID_VALUE pth',
    '6 INVALID_VALUE dropp',
    '7 UNKNOWN_STEP dta',
    '7 INVALID_VALUE tain',
    '8 UNKNOWN_KIND search-capasity',
    '9 MISSING_KEY last',
  ]);
});

test('places of steps and their values are found by plan path', () => {
  const yaml = `${data}
        loop:
          repeat: { max: 2 }
          steps:
            more: { uses: synthesize, with: { images: 20 } }`;
  const { sources } = compileText(yaml);
  const at = (path: string) => {
    const range = sources.get(path);
    return range === undefined ? undefined : dedent(yaml).slice(range.start, range.end);
  };
  expect(at('loop.more')).toBe('more');
  expect(at('loop.more.with.images')).toBe('20');
});

test('a file of 2,000 steps in a chain compiles', () => {
  const steps = Array.from(
    { length: 2000 },
    (_, i) => `  s${i}: { uses: synthesize${i === 0 ? '' : `, needs: [s${i - 1}]`} }`,
  );
  const { plan } = compileText(`name: long\nsteps:\n${steps.join('\n')}\n`);
  expect(plan?.root.steps).toHaveLength(2000);
});

test('a mistake in every one of 1,500 steps is told, and what the first ones may have meant', () => {
  const steps = Array.from(
    { length: 1500 },
    (_, i) => `  s${i}: { uses: train, with: { dataset: "\${{ steps.dat${i}.dataset }}" } }`,
  );
  const before = process.cpuUsage();
  const { diagnostics } = compileText(`name: a\nsteps:\n  data: { uses: synthesize }\n${steps.join('\n')}`);
  const { user } = process.cpuUsage(before);
  expect(diagnostics.map(({ code }) => code)).toEqual(Array(1500).fill('UNKNOWN_STEP'));
  expect(diagnostics[0]!.hint).toContain('Did you mean "data"?');
  // To look for what the last ones may have meant, too, would take as long as the square of the file.
  expect(diagnostics.at(-1)!.hint).toMatch(/^Steps here: data, s0, /);
  expect(user / 1000).toBeLessThan(10_000);
});

test('a matrix in every one of 4,000 steps is no work that grows with the square of the file', () => {
  const steps = Array.from({ length: 4000 }, (_, i) => `  s${i}: { uses: synthesize, matrix: { images: [10, 20] } }`);
  const before = process.cpuUsage();
  const { plan } = compileText(`name: wide\nsteps:\n${steps.join('\n')}\n`);
  const { user } = process.cpuUsage(before);
  expect(plan?.root.steps).toHaveLength(4000);
  expect(user / 1000).toBeLessThan(8_000);
});
