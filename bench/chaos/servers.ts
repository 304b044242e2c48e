/** The Temporal server and the MinIO of one lane, which are killed and started again on the same ports and data. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Client as MinioClient } from 'minio';
import { type RunningMinio, type RunningServer, startMinio, startTemporalDevServer } from '../../deploy/servers.ts';

export interface ChaosServers {
  readonly temporalPort: number;
  readonly minioPort: number;
  readonly minio: { readonly accessKey: string; readonly secretKey: string };
  killTemporal(): void;
  /** And its database is gone. */
  forgetTemporal(): void;
  /** SIGSTOP and SIGCONT. */
  pauseTemporal(paused: boolean): void;
  killMinio(): void;
  pauseMinio(paused: boolean): void;
  /** Starts again what was killed. */
  revive(): Promise<void>;
  /** Ids of both processes. */
  pids(): number[];
  close(): Promise<void>;
}

export const bucket = 'chaos';

export async function startChaosServers(folder: string): Promise<ChaosServers> {
  const logFile = (name: string): string => join(folder, `${name}.log`);
  let temporal: RunningServer = await startTemporalDevServer({
    logFile: logFile('temporal'),
    dbFile: join(folder, 'temporal.db'),
  });
  let minio: RunningMinio = await startMinio({ logFile: logFile('minio'), dataDir: join(folder, 'minio') });
  const portOf = ({ address }: RunningServer): number => Number(address.split(':')[1]);
  const temporalPort = portOf(temporal);
  const minioPort = portOf(minio);
  const { accessKey, secretKey } = minio;
  const client = new MinioClient({ endPoint: '127.0.0.1', port: minioPort, useSSL: false, accessKey, secretKey });
  await client.makeBucket(bucket);
  let temporalLives = true;
  let minioLives = true;
  const signal = (pid: number, name: NodeJS.Signals): void => {
    process.kill(pid, name);
  };
  const killTemporal = (): void => {
    if (temporalLives) temporal.kill();
    temporalLives = false;
  };
  return {
    temporalPort,
    minioPort,
    minio: { accessKey, secretKey },
    killTemporal,
    forgetTemporal() {
      killTemporal();
      for (const part of ['', '-wal', '-shm']) rmSync(join(folder, `temporal.db${part}`), { force: true });
    },
    pauseTemporal: (paused) => temporalLives && signal(temporal.pid, paused ? 'SIGSTOP' : 'SIGCONT'),
    killMinio() {
      if (minioLives) minio.kill();
      minioLives = false;
    },
    pauseMinio: (paused) => minioLives && signal(minio.pid, paused ? 'SIGSTOP' : 'SIGCONT'),
    async revive() {
      if (!temporalLives) {
        temporal = await patiently(() =>
          startTemporalDevServer({
            logFile: logFile('temporal'),
            dbFile: join(folder, 'temporal.db'),
            port: temporalPort,
          }),
        );
        temporalLives = true;
      }
      if (!minioLives) {
        const options = { dataDir: join(folder, 'minio'), port: minioPort, accessKey, secretKey };
        minio = await patiently(() => startMinio({ ...options, logFile: logFile('minio') }));
        minioLives = true;
      }
    },
    pids: () => [...(temporalLives ? [temporal.pid] : []), ...(minioLives ? [minio.pid] : [])],
    async close() {
      for (const paused of [temporal.pid, minio.pid]) {
        try {
          process.kill(paused, 'SIGCONT');
        } catch {
          // It was killed.
        }
      }
      await Promise.all([temporal.stop(), minio.stop()]);
    },
  };
}

/** A port is not always free the moment its owner is dead. */
async function patiently<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start();
    } catch (error) {
      if (attempt === 4) throw error;
    }
  }
}
