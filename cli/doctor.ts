/** `hardcase doctor`: is every part there, where does it come from, and does it really work? */

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import colours from 'picocolors';
import { startTemporalDevServer } from '../deploy/servers.ts';
import {
  cacheFolder,
  findChromium,
  findMinio,
  findTemporal,
  libtensorflowFolder,
  onPath,
  TEMPORAL,
} from '../deploy/setup/parts.mjs';
import { temporalTarget } from './connect.ts';
import { exitCodes, print, printJson } from './output.ts';
import { loadSettings, type Settings } from './settings.ts';

type Status = 'ok' | 'warn' | 'fail';

/** What one check found; `remedy` says what to do where it is not `ok`. */
export interface PartReport {
  readonly part: string;
  /** `warn`: runs work, but something beside them does not, such as a later set-up. */
  readonly status: Status;
  readonly detail: string;
  readonly remedy?: string;
}

type Finding = Omit<PartReport, 'part'>;

const run = promisify(execFile);
const toolTimeoutMs = 20_000;
const trainTimeoutMs = 60_000;

export async function runDoctor(options: { json: boolean }): Promise<number> {
  const settings = loadSettings({});
  const checks: [string, () => Promise<Finding>][] = [
    ['Node', checkNode],
    [
      'npm',
      () => checkTool('npm', ['--version'], 'Install npm, which comes with Node.js; set-up and updates need it.'),
    ],
    ['Go', () => checkTool('go', ['version'], 'Install Go 1.25 or newer; set-up builds the Temporal server with it.')],
    [
      'Python',
      () =>
        checkTool(
          'python3',
          ['-m', 'pip', '--version'],
          'Install Python 3 and pip; set-up fetches TensorFlow with them.',
        ),
    ],
    [
      'C++ compiler',
      () =>
        checkTool(
          process.env.CXX ?? 'c++',
          ['--version'],
          "Install g++ or clang; set-up builds TensorFlow's addon with it.",
        ),
    ],
    ['Temporal', () => checkTemporal(settings)],
    ['TensorFlow', checkTensorFlow],
    ['store', () => checkStore(settings)],
    ['images', checkSharp],
    ['MinIO', checkMinio],
    ['browser', checkBrowser],
    ['disk', () => checkDisk(settings)],
    ['cache', checkCache],
  ];
  const parts: PartReport[] = [];
  for (const [part, check] of checks) {
    const report = { part, ...(await check().catch(unexpected)) };
    parts.push(report);
    if (!options.json) print(renderPart(report));
  }
  const works = parts.every((part) => part.status !== 'fail');
  if (options.json) printJson({ ok: works, parts });
  else print(works ? '\nEverything that a run needs works.' : '\nSomething that a run needs does not work; see above.');
  return works ? exitCodes.done : exitCodes.engine;
}

const colourOf = { ok: colours.green, warn: colours.yellow, fail: colours.red };

function renderPart({ part, status, detail, remedy }: PartReport): string {
  const line = `${colourOf[status](status.padEnd(5))} ${part.padEnd(13)} ${detail}`;
  return remedy === undefined ? line : `${line}\n${' '.repeat(20)}What to do: ${remedy}`;
}

/** A check that throws has found something out that nobody foresaw; the other checks go on. */
function unexpected(error: unknown): Finding {
  return {
    status: 'fail',
    detail: messageOf(error),
    remedy: 'Run "node deploy/setup.mjs" again; if this stays, report it with this line.',
  };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).trim();

async function checkNode(): Promise<Finding> {
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
  const detail = `${process.version} at ${process.execPath}, ${availableParallelism()} CPUs`;
  if (major > 20 || (major === 20 && minor >= 19)) return { status: 'ok', detail };
  return { status: 'fail', detail, remedy: 'Install Node 20.19 or newer.' };
}

/** Tools that only the set-up needs: without them, what is installed goes on working. */
async function checkTool(command: string, flags: string[], remedy: string): Promise<Finding> {
  const path = command.includes('/') ? command : onPath(command);
  if (path === null) return { status: 'warn', detail: `${command} is not on PATH`, remedy };
  try {
    const { stdout } = await run(path, flags, { timeout: toolTimeoutMs });
    return { status: 'ok', detail: `${stdout.split('\n')[0]?.replace(/ from \S+/, '')} at ${path}` };
  } catch (error) {
    return {
      status: 'warn',
      detail: `${path} ${flags.join(' ')} fails: ${messageOf(error).split('\n').at(-1)}`,
      remedy,
    };
  }
}

async function checkTemporal(settings: Settings): Promise<Finding> {
  const target = await temporalTarget(settings);
  if (target !== null) {
    const { address } = target.options;
    const { Connection } = await import('@temporalio/client');
    try {
      const connection = await Connection.connect({ ...target.options, connectTimeout: 5_000 });
      try {
        const deadline = Date.now() + 5_000;
        const { namespace } = target;
        await connection.withDeadline(deadline, () => connection.workflowService.describeNamespace({ namespace }));
        const info = await connection.withDeadline(deadline, () => connection.workflowService.getSystemInfo({}));
        return {
          status: 'ok',
          detail: `server ${info.serverVersion} at ${address}, namespace "${namespace}", answered`,
        };
      } finally {
        await connection.close();
      }
    } catch (error) {
      return {
        status: 'fail',
        detail: `no use of ${address}, namespace "${target.namespace}": ${messageOf(error)}`,
        remedy:
          'Start that server, correct TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, or unset them to use the embedded one.',
      };
    }
  }
  const found = findTemporal({ anyVersion: true });
  if (found === null) {
    return {
      status: 'fail',
      detail: 'no Temporal server was found',
      remedy: 'Run "node deploy/setup.mjs", or set HARDCASE_TEMPORAL.',
    };
  }
  const folder = mkdtempSync(join(tmpdir(), 'hardcase-doctor-'));
  try {
    const started = performance.now();
    const server = await startTemporalDevServer({
      dbFile: join(folder, 'temporal.db'),
      logFile: join(folder, 'temporal.log'),
    });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    await server.stop();
    const detail = `${found.version} from ${found.from} (${found.path}), started and answered in ${seconds} s`;
    const isTested = found.version === TEMPORAL.version || found.version.includes(`Server ${TEMPORAL.serverLine}`);
    if (isTested) return { status: 'ok', detail };
    const remedy = `hardcase is tested with server ${TEMPORAL.serverLine}x; unset HARDCASE_TEMPORAL or take it off PATH, and run "node deploy/setup.mjs".`;
    return { status: 'warn', detail, remedy };
  } catch (error) {
    return {
      status: 'fail',
      detail: messageOf(error),
      remedy: `Remove ${found.path} and run "node deploy/setup.mjs" if it comes from the cache; else mend it.`,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One step of gradient descent on a small convolution, in a process of its own: a missing CPU feature kills the process. */
const trainingProgram = `
const { tf, nodeBackend } = await import(process.argv[1]);
const images = tf.randomUniform([4, 32, 32, 3], 0, 1, 'float32', 1);
const kernel = tf.variable(tf.randomUniform([3, 3, 3, 8], -1, 1, 'float32', 2));
const loss = () => tf.conv2d(images, kernel, 2, 'same').square().mean();
const before = loss().dataSync()[0];
const started = performance.now();
tf.train.sgd(0.01).minimize(loss);
const after = loss().dataSync()[0];
const ms = performance.now() - started;
console.log(JSON.stringify({ before, after, ms, tfjs: tf.version['tfjs-node'], library: nodeBackend().binding.TF_Version }));
`;

async function checkTensorFlow(): Promise<Finding> {
  // Under a test this file is TypeScript, which the child cannot read, so it takes what the set-up compiled.
  const compiled = import.meta.url.endsWith('.ts') ? '../dist/detection/model/tf.js' : '../detection/model/tf.js';
  const flags = ['--input-type=module', '--eval', trainingProgram, new URL(compiled, import.meta.url).href];
  try {
    const { stdout, stderr } = await run(process.execPath, flags, {
      timeout: trainTimeoutMs,
      // At this level it says whether oneDNN is on.
      // oneDNN as in training processes, which do not leave it to TensorFlow.
      env: { TF_ENABLE_ONEDNN_OPTS: '1', ...process.env, TF_CPP_MIN_LOG_LEVEL: '0' },
    });
    const { before, after, ms, tfjs, library } = JSON.parse(stdout) as {
      [key in 'before' | 'after' | 'ms']: number;
    } & { tfjs: string; library: string };
    const oneDnn = /oneDNN custom operations are on/.test(stderr) ? 'on' : 'off';
    const build = `${library} (tfjs-node ${tfjs}) in ${libtensorflowFolder()}, oneDNN ${oneDnn}, CPU ${cpuFeatures()}`;
    if (after < before) return { status: 'ok', detail: `${build}; one training step took ${ms.toFixed(0)} ms` };
    return {
      status: 'fail',
      detail: `${build}; a training step took the loss from ${before} to ${after}, and it should fall`,
      remedy: `Remove ${libtensorflowFolder()} and node_modules, and run "node deploy/setup.mjs".`,
    };
  } catch (error) {
    const { signal, message } = error as { signal?: string; message: string };
    if (signal === 'SIGILL') {
      return {
        status: 'fail',
        detail: `the CPU lacks AVX (it has ${cpuFeatures()})`,
        remedy: 'Use a machine whose CPU offers AVX.',
      };
    }
    const reason = message.split('\n').find((line) => /Error/.test(line)) ?? message;
    return {
      status: 'fail',
      detail: reason.trim(),
      remedy: 'Run "node deploy/setup.mjs", which builds what is missing.',
    };
  }
}

/** The vector instructions that decide about TensorFlow's speed, and about the last bits of its results. */
function cpuFeatures(): string {
  if (!existsSync('/proc/cpuinfo')) return 'unknown';
  const flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.trim().split(/\s+/));
  return (
    ['avx', 'avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx_vnni', 'amx_bf16']
      .filter((name) => flags.has(name))
      .join(' ') || 'none'
  );
}

async function checkStore(settings: Settings): Promise<Finding> {
  try {
    const { openStore } = await import('../artifacts/open-store.ts');
    const store = await openStore(settings.store);
    const bytes = randomBytes(1024);
    const started = performance.now();
    const digest = await store.putObject(bytes);
    const read = await store.getObject(digest);
    await store.removeObject(digest);
    const ms = (performance.now() - started).toFixed(0);
    if (read?.equals(bytes))
      return { status: 'ok', detail: `${store.url}: wrote, read and removed an object in ${ms} ms` };
    throw new Error('the object that was written is not there');
  } catch (error) {
    return {
      status: 'fail',
      detail: `${settings.store}: ${messageOf(error)}`,
      remedy:
        'Set HARDCASE_STORE to a folder you may write, or to s3://bucket/prefix with the AWS_ variables of that server.',
    };
  }
}

async function checkSharp(): Promise<Finding> {
  const { default: sharp } = await import('sharp');
  const background = { r: 200, g: 40, b: 40 };
  const jpeg = await sharp({ create: { width: 16, height: 16, channels: 3, background } })
    .jpeg()
    .toBuffer();
  const { data, info } = await sharp(jpeg).raw().toBuffer({ resolveWithObject: true });
  const isRed = info.width === 16 && Math.abs((data[0] ?? 0) - background.r) < 8;
  const detail = `sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}; wrote and decoded a JPEG`;
  if (isRed) return { status: 'ok', detail };
  return {
    status: 'fail',
    detail: `${detail}, which came back with other pixels`,
    remedy: 'Remove node_modules and run "node deploy/setup.mjs".',
  };
}

async function checkMinio(): Promise<Finding> {
  const found = findMinio();
  if (found) return { status: 'ok', detail: `from ${found.from} (${found.path}); only the tests use it` };
  return { status: 'ok', detail: 'not there; only the tests use it, and "npm test" builds it' };
}

async function checkBrowser(): Promise<Finding> {
  const found = findChromium();
  if (found) return { status: 'ok', detail: `from ${found.from} (${found.path}); only the tests use it` };
  return { status: 'ok', detail: 'not there; only the tests use it, and "npm test" fetches it' };
}

/** Checkpoints of one run of the shipped pipelines stay below a few GB. */
const comfortableBytes = 5e9;
const leastBytes = 5e8;

async function checkDisk(settings: Settings): Promise<Finding> {
  const folder = settings.store.includes('://') ? process.cwd() : dirname(settings.folder);
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  const detail = `${(free / 1e9).toFixed(1)} GB free in ${folder}`;
  if (free >= comfortableBytes) return { status: 'ok', detail };
  return {
    status: free < leastBytes ? 'fail' : 'warn',
    detail,
    remedy: 'Free some space, or set HARDCASE_STORE to a larger disk.',
  };
}

async function checkCache(): Promise<Finding> {
  const folder = cacheFolder();
  if (existsSync(folder)) return { status: 'ok', detail: `${folder} (HARDCASE_CACHE or XDG_CACHE_HOME moves it)` };
  return { status: 'warn', detail: `${folder} does not exist`, remedy: 'Run "node deploy/setup.mjs", which fills it.' };
}
