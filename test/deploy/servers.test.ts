import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { Client as MinioClient } from 'minio';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findTemporalBinary, isRunning, startMinio, startTemporalDevServer } from '../../deploy/servers.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-servers-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const dayS = 86_400;

test('a Temporal server answers, keeps closed workflows for years, and leaves no process', async () => {
  const server = await startTemporalDevServer({ logFile: join(folder, 'temporal.log'), namespace: 'orchard' });
  try {
    const connection = await Connection.connect({ address: server.address });
    const described = await connection.workflowService.describeNamespace({ namespace: 'orchard' });
    expect(Number(described.config?.workflowExecutionRetentionTtl?.seconds)).toBeGreaterThan(365 * dayS);
    await connection.close();
    expect(isRunning(server.pid)).toBe(true);
  } finally {
    await server.stop();
  }
  expect(isRunning(server.pid)).toBe(false);
  await server.stop();
});

test('what a Temporal server stored is there again after it was killed', async () => {
  const options = { dbFile: join(folder, 'state', 'temporal.db'), logFile: join(folder, 'temporal.log') };
  const first = await startTemporalDevServer({ ...options, namespace: 'kept' });
  first.kill();
  // The same file is asked for a namespace that only the first server was told to create.
  const second = await startTemporalDevServer(options);
  try {
    const connection = await Connection.connect({ address: second.address });
    const described = await connection.workflowService.describeNamespace({ namespace: 'kept' });
    expect(described.namespaceInfo?.name).toBe('kept');
    await connection.close();
  } finally {
    await second.stop();
  }
});

test('a server does not outlive the process that started it, even where that is killed', async () => {
  // Compiled by the set-up: a process of its own cannot read TypeScript.
  const compiled = new URL('../../dist/deploy/servers.js', import.meta.url).href;
  const program = `
    const { startTemporalDevServer } = await import(${JSON.stringify(compiled)});
    const server = await startTemporalDevServer({ logFile: process.argv[1] });
    console.log(server.pid);
    setInterval(() => {}, 1000);
  `;
  const flags = ['--input-type=module', '--eval', program, join(folder, 'temporal.log')];
  const starter = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = await new Promise<number>((resolve) => starter.stdout.once('data', (text) => resolve(Number(text))));
  expect(isRunning(pid)).toBe(true);
  starter.kill('SIGKILL');
  await expect.poll(() => isRunning(pid)).toBe(false);
});

test('a port that is taken is an error with the end of the log', async () => {
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  const { port } = squatter.address() as AddressInfo;
  try {
    const start = startTemporalDevServer({ port, logFile: join(folder, 'temporal.log') });
    await expect(start).rejects.toThrow(new RegExp(`did not start on 127\\.0\\.0\\.1:${port}.*${folder}`, 's'));
  } finally {
    squatter.close();
  }
});

test('a server that crashes because its parts lost a port is started again', async () => {
  const crashing = join(folder, 'temporal');
  const program = [
    '#!/bin/sh',
    // Asked for its version, it answers.
    `if [ "$1" = server ] && mkdir '${join(folder, 'crashed')}' 2>/dev/null; then`,
    "  echo 'panic: failed assigning ephemeral port: failed to assign a free port' >&2",
    '  for line in 1 2 3 4 5 6; do echo "goroutine $line [running]:" >&2; done',
    '  exit 2',
    'fi',
    `exec '${findTemporalBinary()}' "$@"`,
  ];
  writeFileSync(crashing, `${program.join('\n')}\n`, { mode: 0o755 });
  process.env.HARDCASE_TEMPORAL = crashing;
  try {
    const server = await startTemporalDevServer({ logFile: join(folder, 'temporal.log') });
    await server.stop();
    expect(readFileSync(join(folder, 'temporal.log'), 'utf8')).toContain('panic: failed assigning');
  } finally {
    delete process.env.HARDCASE_TEMPORAL;
  }
});

test('MinIO accepts its own credentials only, writes into its folder only, and leaves no process', async () => {
  const server = await startMinio({ dataDir: join(folder, 'minio'), logFile: join(folder, 'minio.log') });
  try {
    const [endPoint, port] = server.address.split(':') as [string, string];
    const { accessKey, secretKey } = server;
    const client = new MinioClient({ endPoint, port: Number(port), useSSL: false, accessKey, secretKey });
    await client.makeBucket('images');
    await client.putObject('images', 'one', 'bytes');
    expect((await client.listBuckets()).map((bucket) => bucket.name)).toEqual(['images']);
    const stranger = new MinioClient({ endPoint, port: Number(port), useSSL: false, accessKey, secretKey: 'wrong' });
    await expect(stranger.listBuckets()).rejects.toThrow();
    expect(readFileSync(join(folder, 'minio.log'), 'utf8')).not.toContain(secretKey);
  } finally {
    await server.stop();
  }
  expect(isRunning(server.pid)).toBe(false);
});
