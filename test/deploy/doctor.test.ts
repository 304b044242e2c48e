import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type PartReport, runDoctor } from '../../cli/doctor.ts';
import { freePort, startTemporalDevServer } from '../../deploy/servers.ts';

let folder: string;
const startFolder = process.cwd();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-doctor-'));
  process.chdir(folder);
  for (const name of ['TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE', 'HARDCASE_STORE']) vi.stubEnv(name, '');
});
afterEach(() => {
  vi.unstubAllEnvs();
  process.chdir(startFolder);
  rmSync(folder, { recursive: true, force: true });
});

async function examine(): Promise<{ exit: number; ok: boolean; part: (name: string) => PartReport | undefined }> {
  let text = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += chunk;
    return true;
  });
  try {
    const exit = await runDoctor({ json: true });
    const { ok, parts } = JSON.parse(text) as { ok: boolean; parts: PartReport[] };
    return { exit, ok, part: (name) => parts.find((report) => report.part === name) };
  } finally {
    write.mockRestore();
  }
}

test('after the set-up every part works', async () => {
  const { exit, ok, part } = await examine();
  expect(part('Temporal')).toMatchObject({
    status: 'ok',
    detail: expect.stringMatching(/started and answered in \S+ s$/),
  });
  expect(part('TensorFlow')).toMatchObject({
    status: 'ok',
    detail: expect.stringMatching(/^2\.18\.1 \(tfjs-node .*oneDNN (on|off), CPU .*; one training step took \d+ ms$/),
  });
  expect(part('store')).toMatchObject({
    status: 'ok',
    detail: expect.stringContaining(join(folder, '.hardcase', 'store')),
  });
  expect(part('images')?.status).toBe('ok');
  expect({ exit, ok }).toEqual({ exit: 0, ok: true });
});

test('a Temporal address where nobody listens, and a store that is a file, are reported with a remedy', async () => {
  const address = `127.0.0.1:${await freePort()}`;
  vi.stubEnv('TEMPORAL_ADDRESS', address);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  vi.stubEnv('HARDCASE_STORE', file);
  const { exit, ok, part } = await examine();
  expect({ exit, ok }).toEqual({ exit: 4, ok: false });
  expect(part('Temporal')).toMatchObject({ status: 'fail', remedy: expect.stringContaining('TEMPORAL_ADDRESS') });
  expect(part('Temporal')?.detail).toContain(address);
  expect(part('store')).toMatchObject({ status: 'fail', remedy: expect.stringContaining('HARDCASE_STORE') });
});

test('a Temporal server of the user is asked itself', async () => {
  const server = await startTemporalDevServer({ logFile: join(folder, 'temporal.log') });
  try {
    vi.stubEnv('TEMPORAL_ADDRESS', server.address);
    const { part } = await examine();
    expect(part('Temporal')).toEqual({
      part: 'Temporal',
      status: 'ok',
      detail: expect.stringMatching(
        new RegExp(`^server 1\\.\\S+ at ${server.address}, namespace "default", answered$`),
      ),
    });
  } finally {
    await server.stop();
  }
});
