import { spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isRunning } from '../../deploy/servers.ts';
import { TENSORFLOW } from '../../deploy/setup/parts.mjs';

const checkout = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

// The real script runs in a small project of its own, with a cache of its own, and with stand-ins for the tools that
// would fetch or compile for minutes. Compiler and bundler are the real ones.
let folder: string;
let project: string;
let cache: string;
let tools: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'hardcase-setup-')));
  project = join(folder, 'project');
  cache = join(folder, 'cache');
  tools = join(folder, 'tools');
  for (const path of [project, tools, join(project, 'workflows')]) mkdirSync(path);
  mkdirSync(join(project, 'detection', 'browser'), { recursive: true });
  writeFileSync(join(project, 'detection', 'browser', 'detect.ts'), 'export const found: number[] = [];');
  const page = join(project, 'review', 'page');
  mkdirSync(page, { recursive: true });
  for (const name of ['tsconfig.json', 'vite.config.mjs'])
    copyFileSync(join(checkout, 'review', 'page', name), join(page, name));
  writeFileSync(join(page, 'index.html'), '<!doctype html><script type="module" src="./main.ts"></script>');
  writeFileSync(join(page, 'main.ts'), "document.title = 'review';");
  for (const name of ['package.json', 'package-lock.json']) copyFileSync(join(checkout, name), join(project, name));
  cpSync(join(checkout, 'deploy', 'setup'), join(project, 'deploy', 'setup'), { recursive: true });
  for (const name of ['setup.mjs', 'bundle-workflows.ts']) {
    copyFileSync(join(checkout, 'deploy', name), join(project, 'deploy', name));
  }
  // The real one bundles commands, which this project has none of.
  writeFileSync(
    join(project, 'deploy', 'bundle-check.ts'),
    "import { writeFileSync } from 'node:fs';\nwriteFileSync(new URL('../check-command.cjs', import.meta.url), '');\n",
  );
  const settings = JSON.parse(readFileSync(join(checkout, 'tsconfig.json'), 'utf8')) as object;
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ ...settings, include: ['workflows', 'deploy', 'detection'] }),
  );
  writeWorkflow("export async function hello(): Promise<string> { return 'hello'; }");
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const writeWorkflow = (source: string) => writeFileSync(join(project, 'workflows', 'index.ts'), source);

/** A shell script that stands in for a tool. */
function tool(name: string, script: string): string {
  const path = join(tools, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Everything a set-up finds on a good machine; single tools are replaced by the tests. */
function goodTools(): void {
  const install = join(folder, 'install.mjs');
  writeFileSync(
    install,
    `import { copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
     const real = ${JSON.stringify(join(checkout, 'node_modules'))};
     mkdirSync('node_modules/@tensorflow/tfjs-node', { recursive: true });
     for (const name of readdirSync(real)) if (!/^(@tensorflow|\\.)/.test(name)) symlinkSync(real + '/' + name, 'node_modules/' + name);
     writeFileSync('node_modules/@tensorflow/tfjs-node/package.json', '{ "version": "0.0.0" }');
     writeFileSync('node_modules/@tensorflow/tfjs-node/index.js', 'exports.scalar = () => ({ add: () => ({ dataSync: () => [5] }) })');
     copyFileSync('package-lock.json', 'node_modules/.package-lock.json');`,
  );
  tool('npm', `[ "$1" != install ] || exec "${process.execPath}" "${install}"`);
  tool('python3', 'exit 1');
  // Its last two arguments are "-o" and the output.
  tool('c++', 'for last; do :; done; echo compiled > "$last"');
  tool('temporal', 'echo "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)"');
  const library = join(cache, `libtensorflow-${TENSORFLOW.version}`, 'lib', 'libtensorflow_cc.so.2');
  mkdirSync(dirname(library), { recursive: true });
  writeFileSync(library, '');
  truncateSync(library, TENSORFLOW.libraryBytes);
}

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

function start(words: string[], path: string, nodeFlags: string[] = []) {
  const child = spawn(process.execPath, [...nodeFlags, join(project, 'deploy', 'setup.mjs'), ...words], {
    env: { PATH: path, HARDCASE_CACHE: cache, HOME: join(folder, 'home') },
  });
  const outcome: Outcome = { status: null, stdout: '', stderr: '' };
  child.stdout.on('data', (text) => {
    outcome.stdout += text;
  });
  child.stderr.on('data', (text) => {
    outcome.stderr += text;
  });
  const ended = new Promise<Outcome>((resolve) => {
    child.on('close', (status) => resolve({ ...outcome, status }));
  });
  return { child, ended };
}

const setUp = async (...words: string[]) => await start(words, `${tools}:/usr/bin:/bin`).ended;
const stagesOf = ({ stdout }: Outcome) => [...stdout.matchAll(/^ {2}(\S.*?) {2,}/gm)].map((match) => match[1]).sort();

test('all that a bare machine lacks is said at once, each with its remedy, and nothing is touched', async () => {
  const { status, stderr } = await start(['--test'], tools).ended;
  expect(status).toBe(1);
  expect(stderr).toBe(`set-up: npm was not found on PATH.
  What to do: Install Node.js together with npm (20.19 or newer).
set-up: No C++ compiler was found on PATH; it builds TensorFlow's addon.
  What to do: Install one (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++).
set-up: python3 was not found on PATH; it fetches and unpacks TensorFlow.
  What to do: Install Python 3 with pip (Debian, Ubuntu: apt-get install python3 python3-pip).
set-up: Go was not found on PATH; it builds the S3 server of the tests.
  What to do: Install Go 1.25 or newer (Debian, Ubuntu: apt-get install golang, or the archive from go.dev), or put a minio binary on PATH.
set-up: Neither mvn nor python3 was found on PATH; one of them fetches the time-skipping Temporal server of the tests.
  What to do: Install one (Debian, Ubuntu: apt-get install python3 python3-pip), or name a program in HARDCASE_TEST_SERVER that starts io.temporal.testserver.TestServer on the port that it is given.
`);
  expect(readdirSync(project).sort()).toEqual([
    'deploy',
    'detection',
    'package-lock.json',
    'package.json',
    'review',
    'tsconfig.json',
    'workflows',
  ]);
  expect(readdirSync(cache)).toEqual([]);
});

test('an old Node is told so before anything else', async () => {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.4' } })`;
  const { status, stderr } = await start([], tools, ['--import', `data:text/javascript,${pretend}`]).ended;
  expect(status).toBe(1);
  expect(stderr).toMatch(/this is Node 18\.20\.4, and hardcase needs 20\.19 or newer\.\n {2}What to do: install/);
});

test('an unknown word is wrong usage', async () => {
  const { status, stderr } = await setUp('--tests');
  expect(status).toBe(2);
  expect(stderr).toContain('unknown word "--tests". usage: node deploy/setup.mjs [build] [--test]');
});

test('a set-up that failed twice goes on where it stopped, and then has nothing to do', async () => {
  goodTools();
  // A set-up that was killed left its lock behind.
  writeFileSync(join(cache, 'setup.lock'), '999999999');
  const npm = readFileSync(join(tools, 'npm'), 'utf8');
  tool('npm', 'echo "npm error code ENOTFOUND" >&2; exit 1');
  const offline = await setUp();
  expect(offline.status).toBe(1);
  expect(offline.stderr).toContain('npm view: the network or the registry did not answer.');
  expect(offline.stderr).toContain('npm config get registry');

  writeFileSync(join(tools, 'npm'), npm);
  const compiler = readFileSync(join(tools, 'c++'), 'utf8');
  tool('c++', 'echo "fatal error: No space left on device" >&2; exit 1');
  const full = await setUp();
  expect(full.status).toBe(1);
  expect(full.stderr).toMatch(/the C\+\+ compiler: the disk is full\.\n {2}What to do: Free some space/);
  expect(stagesOf(full)).toEqual([
    'TypeScript',
    'detector for browsers',
    'npm packages',
    'quick check',
    'review page',
    'workflow bundle',
  ]);

  writeFileSync(join(tools, 'c++'), compiler);
  const rest = await setUp();
  expect(rest.stderr).toBe('');
  expect(rest.status).toBe(0);
  expect(stagesOf(rest)).toEqual(['TensorFlow addon']);

  const times = () =>
    readdirSync(join(project, 'dist'), { recursive: true }).map(
      (name) => statSync(join(project, 'dist', `${name}`)).mtimeMs,
    );
  const before = times();
  const again = await setUp();
  expect(again.stdout).toMatch(/^set-up: nothing to do \(\S+ s\)\n$/);
  expect(again.status).toBe(0);
  expect(times()).toEqual(before);
  expect(existsSync(join(cache, 'setup.lock'))).toBe(false);

  // What somebody removes is made again, and no more than that.
  rmSync(join(project, 'node_modules', '@tensorflow', 'tfjs-node', 'lib'), { recursive: true });
  expect(stagesOf(await setUp())).toEqual(['TensorFlow addon']);
});

test('Ctrl-C ends the tools at work, and the next call is not hindered', async () => {
  goodTools();
  const pidFile = join(folder, 'npm.pid');
  const npm = readFileSync(join(tools, 'npm'), 'utf8');
  tool('npm', `echo $$ > "${pidFile}"; sleep 60`);
  const { child, ended } = start([], `${tools}:/usr/bin:/bin`);
  while (!existsSync(pidFile) || readFileSync(pidFile, 'utf8') === '') await sleep(20);
  child.kill('SIGINT');
  expect((await ended).status).toBe(130);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  await expect.poll(() => isRunning(pid)).toBe(false);
  writeFileSync(join(tools, 'npm'), npm);
  expect((await setUp()).status).toBe(0);
});

test('a wheel with another digest is refused and leaves nothing in the cache', async () => {
  goodTools();
  rmSync(join(cache, `libtensorflow-${TENSORFLOW.version}`), { recursive: true });
  // The stand-in for pip saves a file where it is told to, without looking at the digest.
  tool(
    'python3',
    `case "$*" in
      *--version*) echo "pip 24.0" ;;
      *) while [ "$1" != --dest ]; do shift; done; echo forged > "$2/tensorflow.whl" ;;
    esac`,
  );
  const { status, stderr } = await setUp();
  expect(status).toBe(1);
  expect(stderr).toMatch(/The TensorFlow wheel has the digest [0-9a-f]{64}, expected 8e0f27db/);
  expect(existsSync(join(cache, `libtensorflow-${TENSORFLOW.version}`))).toBe(false);
  expect(readdirSync(join(cache, 'tmp'))).toEqual([]);
});

test('a Python without pip is told how to get it', async () => {
  goodTools();
  rmSync(join(cache, `libtensorflow-${TENSORFLOW.version}`), { recursive: true });
  tool('python3', 'echo "No module named pip" >&2; exit 1');
  const { status, stderr } = await setUp();
  expect(status).toBe(1);
  expect(stderr).toContain(
    'python3 has no pip; it fetches TensorFlow.\n  What to do: Install it (Debian, Ubuntu: apt-get install python3-pip',
  );
});

test('a lock file that does not fit package.json is not installed', async () => {
  goodTools();
  const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));
  manifest.dependencies.yaml = '1.0.0';
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest));
  const { status, stderr } = await setUp();
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /package-lock\.json does not fit package\.json: yaml is 2\.\S+ in the first and 1\.0\.0 in the second\./,
  );
});

test('build compiles what was edited, removes what was deleted, and reports type errors', async () => {
  symlinkSync(join(checkout, 'node_modules'), join(project, 'node_modules'));
  expect(stagesOf(await setUp('build'))).toEqual([
    'TypeScript',
    'detector for browsers',
    'quick check',
    'review page',
    'workflow bundle',
  ]);
  expect((await setUp('build')).stdout).toContain('nothing to do');

  writeFileSync(join(project, 'workflows', 'extra.ts'), 'export const extra = 1;');
  writeWorkflow(
    "export { extra } from './extra.ts';\nexport async function hello(): Promise<number> { return 'hello'; }",
  );
  const wrong = await setUp('build');
  expect(wrong.status).toBe(1);
  expect(wrong.stderr).toContain(
    "The sources have 1 type error:\nworkflows/index.ts(2,50): error TS2322: Type 'string' is not assignable to type 'number'.\n",
  );
  expect(wrong.stderr).toContain('What to do: Correct them');

  rmSync(join(project, 'workflows', 'extra.ts'));
  writeWorkflow("export async function farewell(): Promise<string> { return 'farewell'; }");
  expect(stagesOf(await setUp('build'))).toEqual(['TypeScript', 'workflow bundle']);
  expect(existsSync(join(project, 'dist', 'workflows', 'extra.js'))).toBe(false);
  expect(readFileSync(join(project, 'dist', 'workflow-bundle.js'), 'utf8')).toContain('farewell');
});
