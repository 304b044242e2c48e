import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runMerge } from '../../cli/merge.ts';
import { captureOutput } from './capture.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hardcase-merge-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const row = (image_id: number, bbox: number[], score: number, category_id = 1) => ({
  image_id,
  category_id,
  bbox,
  score,
});

async function merge(files: readonly unknown[], more: { method?: string; iou?: number; json?: boolean } = {}) {
  const paths = files.map((_, i) => join(folder, `${i}.json`));
  for (const [i, content] of files.entries()) await writeFile(paths[i]!, JSON.stringify(content));
  const out = join(folder, 'deep', 'merged.json');
  const output = captureOutput();
  const code = await runMerge({ files: paths, method: 'nms', iou: 0.5, out, json: false, ...more });
  return { code, ...output(), merged: JSON.parse(await readFile(out, 'utf8')) };
}

describe('hardcase merge', () => {
  it('keeps the better of two boxes of one object, within image and category', async () => {
    const { code, merged, out } = await merge([
      [row(2, [10.1, 0, 5, 5.3], 0.6), row(1, [0, 0, 10, 10], 0.5)],
      [row(1, [0, 0, 10, 9], 0.8), row(1, [0, 0, 10, 10], 0.7, 2)],
    ]);
    expect(code).toBe(0);
    expect(merged).toEqual([
      row(1, [0, 0, 10, 9], 0.8),
      row(1, [0, 0, 10, 10], 0.7, 2),
      row(2, [10.1, 0, 5, 5.3], 0.6),
    ]);
    expect(out.trimEnd().split('\n').at(-1)).toBe(
      `${folder}/deep/merged.json: 3 detections of 2 images, merged by NMS at IoU 0.5`,
    );
  });

  it('keeps both at the threshold, and merges nothing with nothing', async () => {
    expect((await merge([[row(1, [0, 0, 10, 10], 0.5)], [row(1, [0, 0, 10, 5], 0.8)]])).merged).toHaveLength(2);
    const empty = await merge([[], []], { json: true });
    expect(empty.merged).toEqual([]);
    expect(JSON.parse(empty.out)).toMatchObject({ method: 'nms', iou: 0.5, detections: 0 });
  });

  it('refuses methods that do not exist, and writes nothing where a file is faulty', async () => {
    await expect(merge([[]], { method: 'wbf' })).rejects.toMatchObject({
      exitCode: 2,
      message: '--method is "wbf", expected nms.',
    });
    await expect(merge([[]], { iou: 1.5 })).rejects.toMatchObject({ exitCode: 2 });
    await expect(merge([[], [row(1, [0, 0, 1], 0.5)]])).rejects.toMatchObject({
      exitCode: 1,
      message: expect.stringContaining('1.json [0].bbox: Expected [x, y, width, height] in finite numbers'),
    });
    expect(await readdir(folder)).not.toContain('deep');
  });
});
