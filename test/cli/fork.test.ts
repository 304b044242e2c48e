import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { createRun, readRun, writeStepRecord } from '../../artifacts/run-record.ts';
import { runFork } from '../../cli/fork.ts';
import { loadForRun } from '../../cli/load-for-run.ts';
import { readRunView } from '../../cli/run-view.ts';
import { loadSettings } from '../../cli/settings.ts';
import { statusText } from '../../cli/status.ts';
import { planUpgrade } from '../../cli/upgrade-run.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import { forkScope } from '../../plan/fork.ts';
import { digestPlan } from '../../plan/plan-digest.ts';
import { compileText, dedent } from '../plan/compile-text.ts';
import { captureOutput } from './capture.ts';

const yaml = `
  name: forked
  params: { images: { type: integer, default: 20 }, epochs: { type: integer, default: 10 } }
  steps:
    data: { uses: synthesize, with: { images: "\${{ params.images }}" } }
    model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}" } }
    loop:
      repeat: { max: 2, carry: { model: "\${{ steps.model.model }}" } }
      steps:
        train: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}" } }
      next: { model: "\${{ steps.train.model }}" }`;

let folder: string;
const settings = () => loadSettings({}, {}, folder);
const options = { params: [] as string[], wait: true, dryRun: true };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-fork-'));
  const store = await openFolderStore(join(folder, '.hardcase', 'store'));
  const plan = compileText(yaml).plan!;
  await store.putObject(Buffer.from(canonicalJson(plan)));
  const source = await store.putObject(Buffer.from(dedent(yaml)));
  const header = {
    pipeline: plan.pipeline,
    planDigest: digestPlan(plan),
    source,
    file: 'forked.yaml',
    params: plan.params,
  };
  const createdAt = '2026-01-01T00:00:00.000Z';
  await createRun(store, { ...header, run: 'origin', createdAt });
  for (const path of ['data', 'model', 'loop[1].train']) {
    await writeStepRecord(store, 'origin', { path, kind: 'train', state: 'done', reused: false });
  }
  const fork = { run: 'origin', from: 'model', params: { epochs: 30 } };
  await createRun(store, { ...header, run: 'child', createdAt, fork });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a dry run tells what a fork would do, and which steps keep the params that they had', async () => {
  const output = captureOutput();
  expect(await runFork(settings(), 'origin', { ...options, from: 'loop[1].train', params: ['epochs=30'] })).toBe(0);
  const { out, err } = output();
  expect(err).toBe('-p epochs: from loop[1].train on. What came before stays as it was: model, loop[].train.\n');
  expect(out).toMatch(/^run +data +synthesize +no result/);
});

test('a step that is none, a round that did not begin and a param that changes nothing are refused with what to do', async () => {
  const fork = (from: string, ...params: string[]) => runFork(settings(), 'origin', { ...options, from, params });
  await expect(fork('modle')).rejects.toThrow(
    /^--from modle: this is no step of origin\. Did you mean "model"\? Steps that began: data,/,
  );
  await expect(fork('loop[2].train')).rejects.toThrow(/^--from loop\[2\]\.train: loop\[2\] did not begin in origin\./);
  await expect(fork('model', 'images=30')).rejects.toThrow(
    '-p images changes nothing from model on. It is read by data: fork from there.',
  );
  const output = captureOutput();
  expect(await fork('model', 'epochs=many')).toBe(1);
  expect(output().err).toContain('INVALID_PARAM');
});

test('status tells where a fork comes from, and going on with one takes its own plan and no params', async () => {
  const store = await openFolderStore(join(folder, '.hardcase', 'store'));
  expect(statusText((await readRunView(store, 'child'))!)).toContain(
    '\n  fork of origin from model on with epochs=30\n',
  );
  const loaded = await loadForRun(settings(), 'gone.yaml', [], 'child');
  expect(loaded?.plan.params).toEqual({ images: 20, epochs: 10 });
  await expect(loadForRun(settings(), 'gone.yaml', ['epochs=3'], 'child')).rejects.toThrow(
    /child is a fork of origin.*-p has no place here/,
  );
});

test('a fork that is to follow its file takes what was changed in the file, and must know what it was put together from', async () => {
  const store = await openFolderStore(join(folder, '.hardcase', 'store'));
  const file = join(folder, 'forked.yaml');
  const { header } = (await readRun(store, 'child'))!;
  const plan = compileText(yaml).plan!;
  const own = { ...plan, root: forkScope(plan.root, plan.root, [{ id: 'model', leg: null }], 'salt') };
  const planDigest = await store.putObject(Buffer.from(canonicalJson(own)));
  const upgrade = async (text: string, run: string) => {
    writeFileSync(file, dedent(text));
    const loaded = (await loadForRun(settings(), file, [], run, { asInFile: true }))!;
    return planUpgrade(store, run, file, loaded, { by: 'ada' });
  };
  await createRun(store, { ...header, run: 'older', planDigest });
  await expect(upgrade(yaml, 'older')).rejects.toThrow(
    /^--upgrade: the fork older was begun by an earlier release, .* Fork again: .* fork older --from model$/,
  );
  const forkPlans = { before: header.planDigest, file: header.planDigest, salt: 'salt' };
  await createRun(store, { ...header, run: 'known', planDigest, forkPlans });
  expect(await upgrade(yaml, 'known')).toBeNull();
  const { message } = (await upgrade(yaml.replace('repeat: { max: 2', 'repeat: { max: 3'), 'known'))!;
  expect(message.changes).toEqual(['steps.loop.max: 2 -> 3 (line 6)']);
  expect(message.file.edit).toMatchObject({ was: header.planDigest });
  // Of the whole run, no step could begin again.
  const refusal = await upgrade(`${yaml}\n  concurrency: { group: gpu }`, 'origin').catch(
    (error: Error) => error.message,
  );
  expect(refusal).toMatch(/the run origin has entered its concurrency group, which cannot be changed any more\n/);
  expect(refusal).toMatch(/Undo that part, and the rest can be applied; or start a new run/);
});
