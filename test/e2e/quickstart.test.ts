/** The shipped quickstart, with fewer scenes, from the command to its report; once more on an S3 store, where all is reused. */

import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'minio';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningMinio, startMinio } from '../../deploy/servers.ts';
import { runCommand } from '../cli/command.ts';

const quickstart = join(import.meta.dirname, '../../pipelines/quickstart.yaml');
const small = ['-p', 'images=40', '-p', 'rounds=1'];

let folder: string;
let server: RunningMinio;
let environment: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hardcase-quickstart-'));
  await copyFile(quickstart, join(folder, 'quickstart.yaml'));
  server = await startMinio({ dataDir: join(folder, 'minio'), logFile: join(folder, 'minio.log') });
  const { accessKey, secretKey } = server;
  const { hostname, port } = new URL(server.endpoint);
  const client = new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
  await client.makeBucket('experiments');
  environment = {
    HARDCASE_STORE: 's3://experiments/team',
    AWS_ENDPOINT_URL: server.endpoint,
    AWS_ACCESS_KEY_ID: accessKey,
    AWS_SECRET_ACCESS_KEY: secretKey,
  };
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

test('the quickstart runs to a report on an S3 store, and a second run reuses every step but the report', async () => {
  const first = await runCommand(folder, ['run', 'quickstart.yaml', ...small, '--run', 'first'], environment);
  expect(first.stderr).toBe('');
  expect(first.code).toBe(0);
  const page = await readFile(join(folder, '.hardcase/runs/first/report.html'), 'utf8');
  for (const row of ['baseline', 'model 1', 'model 2', 'models 1+2', 'control 1+2']) expect(page).toContain(row);
  expect(page).toContain('the reviewer was a simulation that knows the truth');
  expect(page).toContain('Loss of each target under each model;');
  expect(page).toContain('What each model learnt and forgot against the one before');

  const second = await runCommand(folder, ['run', 'quickstart.yaml', ...small, '--run', 'second'], environment);
  expect(second.code).toBe(0);
  const status = JSON.parse((await runCommand(folder, ['status', 'second', '--json'], environment)).stdout) as {
    steps: { path: string; kind: string; state: string; reused: boolean }[];
  };
  const again = status.steps.filter((step) => !step.reused && step.kind !== 'repeat').map((step) => step.path);
  expect(again).toEqual(['report']);
});
