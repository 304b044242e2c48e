/** Builds the servers that are written in Go: Temporal's dev server, and for the tests MinIO. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import {
  cachedMinio,
  cachedTemporal,
  cacheFolder,
  findMinio,
  findTemporal,
  MINIO,
  onPath,
  TEMPORAL,
} from './parts.mjs';
import { SetupError } from './remedies.mjs';
import { discard, missingSpace, runTool, withTemporaryFolder } from './tools.mjs';

const goRemedy = 'Install Go 1.25 or newer (Debian, Ubuntu: apt-get install golang, or the archive from go.dev)';

export function temporalStage() {
  return {
    name: `Temporal ${TEMPORAL.version}`,
    isDone: () => findTemporal() !== null,
    problems: () => {
      if (process.env.HARDCASE_TEMPORAL) {
        const message = `HARDCASE_TEMPORAL names ${process.env.HARDCASE_TEMPORAL}, which is no Temporal binary that runs.`;
        return [new SetupError(message, 'Correct it, or unset it.')];
      }
      return onPath('go') ? [missingSpace(cacheFolder(), 5, 'Building Temporal')].filter(Boolean) : [];
    },
    run: async () => {
      if (onPath('go')) {
        await goInstall(TEMPORAL, TEMPORAL.version, 'temporal', cachedTemporal());
        return 'built with go install';
      }
      try {
        await downloadTemporal(TEMPORAL.archive, TEMPORAL.archiveSha256, cachedTemporal());
        return 'downloaded and verified; there is no Go to build it with';
      } catch (error) {
        const other = findTemporal({ anyVersion: true });
        if (other) return `${other.version} on PATH is used; hardcase is tested with server ${TEMPORAL.serverLine}x`;
        throw new SetupError(
          `There is no Go on PATH to build the Temporal server with, and its download failed: ${error.message}`,
          `${goRemedy}, or put a temporal binary on PATH, and run the same command again.`,
        );
      }
    },
  };
}

export function minioStage() {
  return {
    name: 'MinIO, for the tests',
    isDone: () => findMinio() !== null,
    problems: () => {
      if (!onPath('go')) {
        const remedy = `${goRemedy}, or put a minio binary on PATH.`;
        return [new SetupError('Go was not found on PATH; it builds the S3 server of the tests.', remedy)];
      }
      return [missingSpace(cacheFolder(), 5, 'Building MinIO')].filter(Boolean);
    },
    run: async () => {
      await goInstall(MINIO, MINIO.version, 'minio', cachedMinio());
      return 'built with go install';
    },
  };
}

/** What Go downloaded and compiled on the way is of no use once the binaries are there: more than 4 GB. */
export function removeGoFolders() {
  discard(join(cacheFolder(), 'go'));
}

async function goInstall({ module, minimumGo }, version, binary, target) {
  const tag = version.startsWith('v') ? version : `v${version}`;
  await withTemporaryFolder(async (folder) => {
    const env = goEnvironment(folder, minimumGo);
    const flags = ['install', '-trimpath', '-ldflags=-s -w', `${module}@${tag}`];
    await runTool(`go install ${module}@${tag}`, 'go', flags, { env, log: binary });
    await runTool(`${binary} --version`, join(folder, binary), ['--version'], {
      env: { HOME: folder },
      log: `${binary}-version`,
    });
    putInPlace(join(folder, binary), target);
  });
}

/** Go verifies every module against the public checksum database, which is on unless the user switched it off. */
function goEnvironment(binFolder, minimumGo) {
  const go = join(cacheFolder(), 'go');
  const settings = process.env.XDG_CONFIG_HOME || join(homedir(), '.config');
  const env = {
    GOBIN: binFolder,
    GOPATH: go,
    GOMODCACHE: join(go, 'pkg', 'mod'),
    GOCACHE: join(go, 'build'),
    // The module cache is read-only by default, and could not be removed like other folders.
    GOFLAGS: `${process.env.GOFLAGS ?? ''} -modcacherw`.trim(),
    // Statically linked: neither a C compiler nor this machine's C library is needed.
    CGO_ENABLED: '0',
    // Go counts its use in files beside the user's settings, outside of the cache folder; the settings stay in force.
    GOENV: process.env.GOENV || join(settings, 'go', 'env'),
    XDG_CONFIG_HOME: join(go, 'config'),
    GOTOOLCHAIN: 'local',
  };
  const version = execFileSync('go', ['version'], { encoding: 'utf8', env: { ...process.env, ...env } });
  const [major, minor] = /go(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [0, 0];
  const [leastMajor, leastMinor] = minimumGo.split('.').map(Number);
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return env;
  // From 1.21 on Go can fetch a newer toolchain as a verified module. Older ones fail, and that is explained.
  return { ...env, GOTOOLCHAIN: 'auto' };
}

/** The last resort: the official archive, whose digest is pinned. */
export async function downloadTemporal(url, sha256, target) {
  const response = await fetch(url, { signal: AbortSignal.timeout(300_000) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const archive = Buffer.from(await response.arrayBuffer());
  const found = createHash('sha256').update(archive).digest('hex');
  if (found !== sha256) throw new Error(`${url} has the digest ${found}, expected ${sha256}`);
  await withTemporaryFolder(async (folder) => {
    const file = join(folder, 'temporal');
    writeFileSync(file, readTarEntry(gunzipSync(archive), 'temporal'));
    chmodSync(file, 0o755);
    putInPlace(file, target);
  });
}

/** The files of a tar archive, which is a row of 512-byte headers, each followed by its file, padded to 512 bytes. */
export function tarEntries(tar) {
  const entries = [];
  for (let offset = 0; offset + 512 <= tar.length && tar[offset] !== 0; ) {
    const text = (start, length) =>
      tar.toString('latin1', offset + start, offset + start + length).replace(/\0.*$/s, '');
    const size = Number.parseInt(text(124, 12), 8);
    entries.push({ name: text(0, 100), content: tar.subarray(offset + 512, offset + 512 + size) });
    offset += 512 + Math.ceil(size / 512) * 512;
  }
  return entries;
}

export function readTarEntry(tar, name) {
  const entry = tarEntries(tar).find((each) => each.name === name);
  if (!entry) throw new Error(`the archive holds no file named ${name}`);
  return entry.content;
}

function putInPlace(file, target) {
  mkdirSync(dirname(target), { recursive: true });
  renameSync(file, target);
}
