import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runCheck } from '../../cli/check.ts';
import { runTest } from '../../cli/test.ts';
import { readTestFile } from '../../cli/test-file.ts';
import { dedent } from '../plan/compile-text.ts';
import { captureOutput } from './capture.ts';

const root = join(import.meta.dirname, '../..');
const options = { bundlePath: join(root, 'dist/workflow-bundle.js'), verbose: false };
const pipeline = `
  name: tested
  params: { epochs: { type: integer, default: 10 } }
  steps:
    data: { uses: synthesize, with: { images: 20 } }
    model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}" } }
    more: { uses: train, when: steps.model.AP < 0.5, with: { init: "\${{ steps.model.model }}", dataset: "\${{ steps.data.dataset }}" } }
    loop:
      repeat: { max: 2, carry: { model: "\${{ steps.model.model }}" } }
      steps:
        train: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}" } }
      next: { model: "\${{ steps.train.model }}" }`;

let folder: string;
const file = () => join(folder, 'tested.test.yaml');
const write = (tests: string) => writeFileSync(file(), dedent(tests));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-test-'));
  writeFileSync(join(folder, 'tested.yaml'), dedent(pipeline));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('tests that hold and that do not are told apart, with place, difference and what ran', async () => {
  write(`
    mocks: { kinds: { train: { outputs: { AP: 0.7 }, takes: 1h } } }
    tests:
      - name: a good model is enough
        expect: { steps: { more: skipped }, rounds: { loop: 2 }, took: 3h }
      - name: a bad one is trained on
        mocks: { steps: { model: { outputs: { AP: 0.2 } } } }
        expect:
          steps: { more: skipped }
          inputs: { more.init: data.dataset, "loop[2].train.init": "loop[1].train.model" }
          order: [loop, model]`);
  const output = captureOutput();
  expect(await runTest([join(folder, 'tested.yaml')], options)).toBe(1);
  const { out } = output();
  expect(out).toContain('✓ a good model is enough');
  expect(out).toContain('✗ a bad one is trained on');
  const at = (place: string) => `${file()}:${place} `;
  expect(out).toContain(`${at('8:16')}more should be skipped, but is done.`);
  expect(out).toContain(`${at('9:17')}more.init should be data.dataset, but is model.model.`);
  expect(out).toContain(`${at('10:21')}model should begin when loop has ended, but begins before.`);
  expect(out).toMatch(/loop\[2\]\.train +train +done +2 h 00 min to 3 h 00 min/);
  expect(out).toContain('1 passed, 1 failed');
});

test('a test without time has no other clock than that of the run', async () => {
  write(`
    tests:
      - name: all at once
        expect: { took: 0s, runs: { train: 4 } }`);
  const output = captureOutput();
  expect(await runTest([folder], { ...options, json: true, junit: join(folder, 'out.xml') })).toBe(0);
  const { passed, failed, tests } = JSON.parse(output().out);
  expect({ passed, failed }).toEqual({ passed: 1, failed: 0 });
  expect(tests[0]).toMatchObject({
    name: 'all at once',
    state: 'passed',
    failures: [],
    run: { state: 'done', tookMs: 0 },
  });
  expect(readFileSync(join(folder, 'out.xml'), 'utf8')).toMatch(
    /<testsuite name="[^"]+" tests="1" failures="0">\n {4}<testcase name="all at once"/,
  );
});

test('every name that the pipeline does not have is told at its place, with the nearest that it has', async () => {
  write(`
    mocks:
      kinds: { trian: { outputs: { AP: 1 } }, train: { outputs: { APP: 1 }, absent: [modle] } }
      steps: { modle: {} }
    answers: [{ gate: model }]
    tests:
      - name: wrong
        params: { epoch: 3 }
        expect: { steps: { "loop[].trian": done }, outputs: { model.APP: 1 }, inputs: { modl.init: x }, order: [data, modle] }`);
  const output = captureOutput();
  expect(await runCheck([file()], { format: 'text', readTests: readTestFile })).toBe(1);
  const { out } = output();
  for (const [place, message] of [
    ['2:12', 'UNKNOWN_KIND There is no step kind "trian".'],
    ['2:63', 'UNKNOWN_OUTPUT A train step has no output "APP".'],
    ['2:82', 'UNKNOWN_OUTPUT A train step has no output "modle".'],
    ['4:19', 'UNKNOWN_STEP "model" waits for nobody.'],
    ['3:12', 'UNKNOWN_STEP The pipeline has no step "modle".'],
    ['7:15', 'UNKNOWN_PARAM The pipeline has no param "epoch".'],
  ]) {
    expect(out).toContain(`${file()}:${place} ${message}`);
  }
  expect(out).toContain('Did you mean "model"?');
  expect(out).toContain('Did you mean "epochs"?');
});

test('a param of a wrong value, an unknown key and a wrong type are problems of the test file', async () => {
  write(`
    test: []
    tests:
      - name: wrong
        expect: { stat: done, took: soon }`);
  let output = captureOutput();
  expect(await runTest([file()], options)).toBe(1);
  const { err } = output();
  expect(err).toMatch(/1:1 UNKNOWN_KEY Unknown key "test" in a test file\./);
  expect(err).toMatch(/4:15 UNKNOWN_KEY Unknown key "stat" in tests\[0\]\.expect\./);
  expect(err).toMatch(/4:33 INVALID_VALUE tests\[0\]\.expect\.took is "soon"; expected a duration such as/);

  write(`
    tests:
      - name: many epochs
        params: { epochs: many }
        expect: { state: done }`);
  output = captureOutput();
  expect(await runTest([file()], options)).toBe(1);
  expect(output().err).toMatch(/3:5 INVALID_PARAM .*many/);
});

test('a pipeline with problems is reported as check does, and no tests are wrong usage', async () => {
  writeFileSync(join(folder, 'tested.yaml'), dedent(pipeline).replace('steps.data.dataset', 'steps.dat.dataset'));
  write('tests: [{ name: x, expect: { state: done } }]');
  const output = captureOutput();
  expect(await runTest([file()], options)).toBe(1);
  expect(output().err).toMatch(/tested\.yaml:5:.* UNKNOWN_STEP/);
  mkdirSync(join(folder, 'empty'));
  await expect(runTest([join(folder, 'empty')], options)).rejects.toThrow(
    /There are no tests in .*empty\. Expected files named like NAME\.test\.yaml/,
  );
  writeFileSync(join(folder, 'alone.yaml'), 'name: alone');
  await expect(runTest([join(folder, 'alone.yaml')], options)).rejects.toThrow(
    /alone\.yaml has no tests: there is no .*alone\.test\.yaml/,
  );
});
