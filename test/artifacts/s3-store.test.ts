import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'minio';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openS3Store, parseS3Url, type S3Environment } from '../../artifacts/s3-store.ts';
import { StoreUnavailableError } from '../../artifacts/store.ts';
import { type RunningMinio, startMinio } from '../../deploy/servers.ts';
import { collectBesideSteps } from './garbage-race.ts';
import { describeStore } from './store-contract.ts';

let folder: string;
let server: RunningMinio;
let client: Client;
let environment: S3Environment;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 's3-store-'));
  server = await startMinio({ dataDir: join(folder, 'data'), logFile: join(folder, 'minio.log') });
  const { hostname, port } = new URL(server.endpoint);
  const { accessKey, secretKey } = server;
  client = new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
  await client.makeBucket('pipelines');
  environment = {
    AWS_ENDPOINT_URL: server.endpoint,
    AWS_ACCESS_KEY_ID: accessKey,
    AWS_SECRET_ACCESS_KEY: secretKey,
  };
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

describeStore('A store in S3', {
  open: () => openS3Store('s3://pipelines/team/store', environment),
  damage: async (digest, bytes) => {
    const name = `team/store/objects/${digest.slice(0, 2)}/${digest.slice(2)}`;
    await client.putObject('pipelines', name, bytes, bytes.length);
  },
});

describe('An S3 store', () => {
  it('loses nothing that steps count on to collections of garbage beside them', async () => {
    const store = await openS3Store('s3://pipelines/collected', environment);
    const clock = Date.now.bind(Date);
    const now = vi.spyOn(Date, 'now');
    try {
      // The server alone says when an object was written, so that it is the others' clock that goes ahead: by two hours and
      // the four seconds after which what was written before is old. Requests are signed by `new Date()`, which does not.
      await collectBesideSteps(store, 10, async () => {
        await new Promise((resolve) => setTimeout(resolve, 4_000));
        now.mockImplementation(() => clock() + 7_200_000);
        return 7_200_000 + 3_500;
      });
    } finally {
      now.mockRestore();
    }
  });

  const openingError = async (url: string, changes: S3Environment): Promise<Error> => {
    const error = await openS3Store(url, { ...environment, ...changes }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StoreUnavailableError);
    return error as Error;
  };

  it('may lie at the root of its bucket, apart from a store under a prefix', async () => {
    const root = await openS3Store('s3://pipelines', environment);
    const inner = await openS3Store('s3://pipelines/inner/', environment);
    await root.writeRecord('a', Buffer.from('root'));
    expect(await inner.readRecord('a')).toBeNull();
    expect(await root.listRecords('')).toEqual(['a']);
  });

  it('says that the password is wrong', async () => {
    const error = await openingError('s3://pipelines/team', { AWS_SECRET_ACCESS_KEY: 'not-the-password' });
    expect(error.message).toBe(
      `Cannot use the store s3://pipelines/team: ${server.endpoint} refuses the password. Correct AWS_SECRET_ACCESS_KEY.`,
    );
  });

  it('says that the access key is unknown', async () => {
    const error = await openingError('s3://pipelines/team', { AWS_ACCESS_KEY_ID: 'nobody' });
    expect(error.message).toContain('does not know the access key. Correct AWS_ACCESS_KEY_ID.');
  });

  it('says that the bucket is missing', async () => {
    const error = await openingError('s3://nowhere/team', {});
    expect(error.message).toContain(
      `there is no bucket "nowhere" at ${server.endpoint}. Create it, or correct HARDCASE_STORE.`,
    );
  });

  it('names the variables that are not set', async () => {
    const error = await openingError('s3://pipelines', { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: undefined });
    expect(error.message).toContain('AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set');
  });

  it('says that nobody answers at the address', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => closed.once('listening', resolve));
    const endpoint = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`;
    await new Promise((resolve) => closed.close(resolve));
    const error = await openingError('s3://pipelines', { AWS_ENDPOINT_URL_S3: endpoint });
    expect(error.message).toContain(`no S3 server answers at ${endpoint}`);
    expect(error.message).toContain('Start it, or correct AWS_ENDPOINT_URL_S3');
  });

  it('refuses an address that is none', () => {
    expect(() => parseS3Url('s3://B!/x')).toThrow('Expected s3://bucket/prefix');
    expect(parseS3Url('s3://bucket//a/b/')).toEqual({ bucket: 'bucket', prefix: 'a/b/' });
  });

  it('refuses an endpoint with a path, which it would not use', async () => {
    const error = await openingError('s3://pipelines', { AWS_ENDPOINT_URL: `${server.endpoint}/s3` });
    expect(error.message).toContain('must look like https://host or http://host:9000');
  });

  it('tries again after faults that pass, and owns the record whose answer was lost', async () => {
    // Stands before MinIO: forwards requests, and spoils some answers.
    const spoiled: string[] = [];
    const proxy = await startProxy(server.endpoint, (method, path) => {
      if (method !== 'PUT' || !path.includes('lost') || spoiled.length >= 3) return 'pass';
      spoiled.push(path);
      // The second one reaches the server, but its answer never comes back.
      return spoiled.length === 2 ? 'lose-answer' : 'unavailable';
    });
    try {
      // A host of its own in the signature: the proxy hands it on.
      const store = await openS3Store('s3://pipelines/flaky', { ...environment, AWS_ENDPOINT_URL: proxy.endpoint });
      expect(await store.createRecord('lost', Buffer.from('mine'))).toBeNull();
      expect(spoiled).toHaveLength(3);
      expect(await store.createRecord('lost', Buffer.from('other'))).toEqual(Buffer.from('mine'));
    } finally {
      await proxy.stop();
    }
  });

  it('refuses a server that ignores the condition of create-only writes', async () => {
    const proxy = await startProxy(server.endpoint, () => 'ignore-condition');
    try {
      const error = await openingError('s3://pipelines/naive', { AWS_ENDPOINT_URL: proxy.endpoint });
      expect(error.message).toContain('ignores "If-None-Match: *"');
    } finally {
      await proxy.stop();
    }
  });
});

type Fate = 'pass' | 'unavailable' | 'lose-answer' | 'ignore-condition';

/** An HTTP proxy on a port of its own that decides on each request's fate. */
async function startProxy(target: string, decide: (method: string, path: string) => Fate) {
  const upstream = new URL(target);
  const proxy: Server = createServer((request, response) => {
    const fate = decide(request.method ?? '', request.url ?? '');
    if (fate === 'unavailable') {
      request.resume();
      request.on('end', () => response.writeHead(503).end());
      return;
    }
    if (fate === 'ignore-condition' && request.headers['if-none-match'] !== undefined) {
      // As a server that knows no conditions: it overwrites, and is content.
      request.resume();
      request.on('end', () => response.writeHead(200, { etag: '"0"' }).end());
      return;
    }
    const { hostname, port } = upstream;
    const forwarded = send(
      { hostname, port, path: request.url, method: request.method, headers: request.headers },
      (answer) => {
        if (fate === 'lose-answer') {
          answer.resume();
          answer.on('end', () => request.socket.destroy());
          return;
        }
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      },
    );
    request.pipe(forwarded);
  });
  proxy.listen(0, '127.0.0.1');
  await new Promise((resolve) => proxy.once('listening', resolve));
  return {
    endpoint: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    stop: async () => {
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}
