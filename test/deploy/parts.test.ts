import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const checkout = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

// The set-up is plain JavaScript, so its functions get their types where they are loaded.
const load = async (path: string): Promise<unknown> => await import(join(checkout, 'deploy', path));
const { explain } = (await load('setup/remedies.mjs')) as {
  explain(what: string, output: string, logFile: string): Error & { remedy: string; logFile: string };
};
const { downloadTemporal } = (await load('setup/binaries.mjs')) as {
  downloadTemporal(url: string, sha256: string, target: string): Promise<void>;
};
const { chromiumStage } = (await load('setup/chromium.mjs')) as {
  chromiumStage(): { isDone(): boolean; problems(): Error[]; run(): Promise<string> };
};
const { testServerStage } = (await load('setup/time-skipping.mjs')) as {
  testServerStage(): { isDone(): boolean; problems(): Error[]; run(): Promise<string> };
};
const { findChromium } = (await load('setup/parts.mjs')) as { findChromium(): { path: string; from: string } | null };
const { isInstalled } = (await load('setup/packages.mjs')) as { isInstalled(lock: string, note: string): boolean };
const { countTests } = (await load('run-tests.mjs')) as {
  countTests(report: object, status: number): { passed: number; failed: number; skipped: number };
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-parts-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a failed tool is explained', () => {
  test.each([
    ['pip', 'OSError: [Errno 28] No space left on device', 'the disk is full', 'Free some space'],
    ['npm', 'npm error code EINTEGRITY', 'does not have the digest', 'another network or mirror'],
    ['pip', 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES', 'does not have the digest', 'another network or mirror'],
    ['go', 'verifying module: checksum mismatch', 'does not have the digest', 'another network or mirror'],
    ['go', 'dial tcp: lookup proxy: no such host', 'did not answer', 'go env GOPROXY'],
    ['pip', 'NewConnectionError: Temporary failure in name resolution', 'did not answer', 'pip config list'],
    ['npm', 'npm error EACCES: permission denied, mkdir', 'may not be written', 'HARDCASE_CACHE'],
    ['go', 'go: download go1.25 for linux/amd64: toolchain not available', 'Go is too old', 'Install a newer Go'],
    ['node', 'node ended with SIGILL', 'lacks the AVX instructions', 'offers AVX'],
  ])('%s: %s', (tool, output, cause, remedy) => {
    const error = explain(tool, output, '/cache/logs/tool.log');
    expect(error.message).toContain(cause);
    expect(error.remedy).toContain(remedy);
    expect(error.logFile).toBe('/cache/logs/tool.log');
  });

  test('one that nobody foresaw shows its own last lines', () => {
    const lines = Array.from({ length: 40 }, (_, index) => `line ${index + 1}`).join('\n');
    expect(explain('tool', lines, 'log').message).toMatch(/^tool failed:\nline 29\n[\s\S]*line 40$/);
  });
});

describe("npm's note of what is installed", () => {
  const compare = (locked: object, present: object) => {
    const [lock, note] = [join(folder, 'lock.json'), join(folder, 'note.json')];
    writeFileSync(lock, JSON.stringify({ packages: { '': {}, ...locked } }));
    writeFileSync(note, JSON.stringify({ packages: present }));
    return isInstalled(lock, note);
  };
  const a = { 'node_modules/a': { version: '1.0.0' } };

  test('fits where versions are equal, and optional packages of other platforms are absent', () => {
    expect(compare(a, a)).toBe(true);
    expect(compare({ ...a, 'node_modules/b-win32': { version: '1.0.0', optional: true } }, a)).toBe(true);
  });

  test('does not fit with a missing, an additional, or another version', () => {
    expect(compare(a, {})).toBe(false);
    expect(compare({}, a)).toBe(false);
    expect(compare(a, { 'node_modules/a': { version: '1.0.1' } })).toBe(false);
  });

  test('does not fit where npm never finished', () => {
    writeFileSync(join(folder, 'lock.json'), '{ "packages": {} }');
    expect(isInstalled(join(folder, 'lock.json'), join(folder, 'absent.json'))).toBe(false);
  });
});

describe('the official archive of Temporal', () => {
  const cacheBefore = process.env.HARDCASE_CACHE;
  afterEach(() => {
    if (cacheBefore === undefined) delete process.env.HARDCASE_CACHE;
    else process.env.HARDCASE_CACHE = cacheBefore;
  });

  async function download(sha256Of: (archive: Buffer) => string): Promise<string> {
    process.env.HARDCASE_CACHE = join(folder, 'cache');
    writeFileSync(join(folder, 'LICENSE'), 'some other file, before it');
    writeFileSync(join(folder, 'temporal'), '#!/bin/sh\necho temporal version 1.5.1\n');
    const archive = gzipSync(execFileSync('tar', ['-cf', '-', '-C', folder, 'LICENSE', 'temporal']));
    const server = createServer((_request, response) => response.end(archive));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const target = join(folder, 'cache', 'bin', 'temporal-1.5.1');
    try {
      const { port } = server.address() as AddressInfo;
      await downloadTemporal(`http://127.0.0.1:${port}/temporal.tar.gz`, sha256Of(archive), target);
      return target;
    } finally {
      server.close();
    }
  }

  test('is unpacked into a binary that runs', async () => {
    const target = await download((archive) => createHash('sha256').update(archive).digest('hex'));
    expect(execFileSync(target, { encoding: 'utf8' })).toBe('temporal version 1.5.1\n');
  });

  test('is refused where its digest is another one', async () => {
    await expect(download(() => 'ab'.repeat(32))).rejects.toThrow(/has the digest [0-9a-f]{64}, expected abab/);
    expect(existsSync(join(folder, 'cache', 'bin'))).toBe(false);
  });
});

describe('the count of tests', () => {
  const report = { numPassedTests: 3, numFailedTests: 0, numPendingTests: 1, numTodoTests: 0 };
  const passedFile = { status: 'passed', assertionResults: [{ status: 'passed' }] };

  test('is that of the report', () => {
    expect(countTests({ ...report, testResults: [passedFile] }, 0)).toEqual({ passed: 3, failed: 0, skipped: 1 });
  });

  test('counts a file that could not be loaded as failed', () => {
    const testResults = [passedFile, { status: 'failed', assertionResults: [] }];
    expect(countTests({ ...report, testResults }, 1).failed).toBe(1);
  });

  test('does not count a failed test twice for its file', () => {
    const testResults = [{ status: 'failed', assertionResults: [{ status: 'failed' }] }];
    expect(countTests({ ...report, numFailedTests: 1, testResults }, 1).failed).toBe(1);
  });

  test('counts an error outside of any test', () => {
    expect(countTests({ ...report, testResults: [passedFile] }, 1).failed).toBe(1);
  });
});

describe('.ci/run', () => {
  function runCi(testScript: string) {
    mkdirSync(join(folder, '.ci'));
    copyFileSync(join(checkout, '.ci', 'run'), join(folder, '.ci', 'run'));
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'sample', scripts: { test: testScript } }));
    const { status, stdout } = spawnSync(join(folder, '.ci', 'run'), { encoding: 'utf8' });
    return { status, last: stdout.trimEnd().split('\n').at(-1) };
  }

  test('ends with the count of the tests', () => {
    expect(runCi("echo '4 passed, 0 failed, 1 skipped'")).toEqual({ status: 0, last: '4 passed, 0 failed, 1 skipped' });
  });

  test('fails with failing tests', () => {
    expect(runCi("echo '4 passed, 2 failed' && exit 1")).toEqual({ status: 1, last: '4 passed, 2 failed' });
  });

  test('fails, with a count, where the set-up failed before the tests', () => {
    expect(runCi('exit 3')).toEqual({ status: 3, last: '0 passed, 1 failed' });
  });

  test('fails where nothing was counted', () => {
    expect(runCi('exit 0')).toEqual({ status: 1, last: '0 passed, 1 failed' });
  });
});

test('what the scripts of package.json run sets up first, because npm runs no pre-scripts here', () => {
  const { scripts } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8'));
  expect(scripts.start).toMatch(/^node deploy\/setup\.mjs && /);
  expect(scripts.test).toMatch(/^node deploy\/setup\.mjs --test && /);
});

describe('the browser of the tests', () => {
  const before = { ...process.env };
  const executable = (path: string, script: string) => writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  beforeEach(() => {
    Object.assign(process.env, { PATH: folder, HARDCASE_CACHE: join(folder, 'cache') });
    delete process.env.HARDCASE_CHROMIUM;
  });
  afterEach(() => {
    process.env = { ...before };
  });

  test('is the one that is named, else one on PATH, else the one in the cache', () => {
    expect(findChromium()).toBe(null);
    const cached = join(folder, 'cache', 'chromium-153.0.0');
    mkdirSync(cached, { recursive: true });
    executable(join(cached, 'chromium'), '');
    expect(findChromium()).toMatchObject({ from: 'cache', libraries: join(cached, 'lib'), args: ['--no-zygote'] });
    executable(join(folder, 'google-chrome'), '');
    expect(findChromium()).toMatchObject({ from: 'PATH', libraries: null, args: [] });
    process.env.HARDCASE_CHROMIUM = join(folder, 'nothing');
    expect(findChromium()).toBe(null);
    expect(chromiumStage().problems()[0]!.message).toContain('which is no program that can be run');
  });

  test('is refused where the registry gives another package', async () => {
    executable(join(folder, 'npm'), `echo other > "$4/sparticuz-chromium.tgz"`);
    const found = createHash('sha512').update('other\n').digest('base64');
    await expect(chromiumStage().run()).rejects.toThrow(
      `@sparticuz/chromium@153.0.0 has the digest ${found}, expected`,
    );
    expect(chromiumStage().isDone()).toBe(false);
  });
});

describe('the time-skipping server of the tests', () => {
  const before = { ...process.env };
  const executable = (path: string, script: string) => writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  beforeEach(() => {
    Object.assign(process.env, { PATH: `${folder}:/usr/bin:/bin`, HARDCASE_CACHE: join(folder, 'cache') });
    delete process.env.HARDCASE_TEST_SERVER;
  });
  afterEach(() => {
    process.env = { ...before };
  });

  test('is the one that is named, and asks for Maven or Python where there is neither', () => {
    expect(testServerStage().isDone()).toBe(false);
    process.env.PATH = folder;
    expect(testServerStage().problems()[0]!.message).toContain('Neither mvn nor python3 was found on PATH');
    process.env.HARDCASE_TEST_SERVER = join(folder, 'server');
    expect(testServerStage().problems()[0]!.message).toContain('which is no program that can be run');
    executable(join(folder, 'server'), '');
    expect(testServerStage().isDone()).toBe(true);
  });

  test('is fetched by a package of Python where there is no Maven', async () => {
    process.env.PATH = folder;
    executable(
      join(folder, 'python3'),
      'case "$*" in *"pip install"*"jgo=="*) exit 0;; esac\nfor lib in "$@"; do :; done\n/bin/mkdir -p "$lib" && echo other > "$lib/a.jar"',
    );
    await expect(testServerStage().run()).rejects.toThrow(/^The jars of .* have the digest [0-9a-f]{64}, expected/);
  });

  test('is refused where a jar is another', async () => {
    executable(
      join(folder, 'mvn'),
      'for word in "$@"; do case "$word" in -DoutputDirectory=*) mkdir -p "${word#*=}" && echo other > "${word#*=}/a.jar";; esac; done',
    );
    await expect(testServerStage().run()).rejects.toThrow(
      /^The jars of io\.temporal:temporal-test-server 1\.31\.0 have the digest [0-9a-f]{64}, expected/,
    );
    expect(testServerStage().isDone()).toBe(false);
  });
});
