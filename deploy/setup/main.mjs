/** Runs the stages of the set-up that are not done yet, those side by side that do not need each other. */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { minioStage, removeGoFolders, temporalStage } from './binaries.mjs';
import { browserStage, bundleStage, checkStage, compileStage, pageStage } from './build.mjs';
import { chromiumStage } from './chromium.mjs';
import { linkCommand, packagesStage } from './packages.mjs';
import { cacheFolder } from './parts.mjs';
import { explain, renderError } from './remedies.mjs';
import { addonStage, libraryStage } from './tensorflow.mjs';
import { testServerStage } from './time-skipping.mjs';
import { discard, stopTools } from './tools.mjs';

const usage = 'usage: node deploy/setup.mjs [build] [--test]';

/** Resolves with the exit status. */
export async function setUp(words, root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))) {
  const unknown = words.find((word) => word !== 'build' && word !== '--test');
  if (unknown !== undefined) {
    console.error(`set-up: unknown word "${unknown}". ${usage}`);
    return 2;
  }
  const started = performance.now();
  try {
    const count = await runMissing(root, words);
    const seconds = ((performance.now() - started) / 1000).toFixed(count === 0 ? 2 : 1);
    console.log(count === 0 ? `set-up: nothing to do (${seconds} s)` : `set-up: done in ${seconds} s`);
    return 0;
  } catch (error) {
    for (const one of error instanceof AggregateError ? error.errors : [error]) {
      // A full disk, or a folder that may not be written.
      const isFileError = typeof one.code === 'string' && one.syscall !== undefined;
      console.error(renderError(isFileError ? explain('The set-up', one.message) : one));
    }
    return 1;
  }
}

/** Answers how many stages had something to do. */
async function runMissing(root, words) {
  const lanes = lanesOf(root, words);
  const isMissing = (stage) => !stage.isDone();
  if (!lanes.flat().some(isMissing)) {
    linkCommand(root);
    return 0;
  }
  const unlock = await lock();
  const stop = () => {
    stopTools();
    unlock();
    process.exit(130);
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    // Whatever is missing on this machine is said at once, before minutes are spent on the rest.
    const packagesMissing = isMissing(lanes[0][0]);
    const problems = lanes.flatMap((lane, index) =>
      // A new node_modules has no addon, even where the one that it replaces had.
      lane.filter((stage) => isMissing(stage) || (index === 0 && packagesMissing)).flatMap((stage) => stage.problems()),
    );
    if (problems.length > 0) throw new AggregateError(problems);
    // What an interrupted set-up had not finished; nobody else works there while the lock is held.
    discard(join(cacheFolder(), 'tmp'));
    const count = await runLanes(lanes);
    linkCommand(root);
    removeGoFolders();
    return count;
  } finally {
    unlock();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

/** Stages of one lane run one after the other; lanes run side by side. */
function lanesOf(root, words) {
  const compiling = [compileStage(root), bundleStage(root), browserStage(root), checkStage(root), pageStage(root)];
  if (words.includes('build')) return [compiling];
  const library = libraryStage();
  const addon = addonStage(root);
  const servers = words.includes('--test')
    ? [temporalStage(), minioStage(), testServerStage(), chromiumStage()]
    : [temporalStage()];
  return [[packagesStage(root), ...compiling, { ...addon, after: library }], [library], servers];
}

/** Rejects with the failure that came first, once all lanes have stopped. Resolves with how many stages ran. */
async function runLanes(lanes) {
  const finished = new Map();
  const progress = showProgress();
  let count = 0;
  const runLane = async (lane) => {
    for (const stage of lane) {
      if (stage.after) await finished.get(stage.after);
      // Asked again here, because an earlier stage of the lane may have undone it.
      if (stage.isDone()) continue;
      count++;
      await progress.through(stage);
    }
  };
  const failures = [];
  const settled = lanes.map(async (lane) => {
    const promise = Promise.resolve().then(() => runLane(lane));
    // A stage that another lane waits for is alone in its lane.
    finished.set(lane[0], promise);
    try {
      await promise;
    } catch (error) {
      // What the other lanes finished so far is kept; that they fail after this is only its echo.
      failures.push(error);
      stopTools();
    }
  });
  await Promise.all(settled);
  progress.end();
  if (failures.length > 0) throw failures[0];
  return count;
}

/** A line for each stage when it is done; on a terminal, also what is at work right now. */
function showProgress() {
  const atWork = new Map();
  const isTerminal = process.stdout.isTTY;
  const clear = () => isTerminal && process.stdout.write('\r\x1b[K');
  const show = () => {
    const now = [...atWork].map(([name, start]) => `${name} ${Math.round((performance.now() - start) / 1000)} s`);
    if (now.length > 0) process.stdout.write(`\r\x1b[K  … ${now.join(', ')}`.slice(0, process.stdout.columns));
  };
  const timer = isTerminal ? setInterval(show, 1000) : undefined;
  return {
    through: async (stage) => {
      const start = performance.now();
      atWork.set(stage.name, start);
      try {
        const detail = await stage.run();
        clear();
        const seconds = ((performance.now() - start) / 1000).toFixed(1);
        console.log(`  ${stage.name.padEnd(22)} ${detail} (${seconds} s)`);
      } finally {
        atWork.delete(stage.name);
      }
    },
    end: () => {
      clearInterval(timer);
      clear();
    },
  };
}

/** Only one set-up at a time works on the cache folder and on a checkout; another one waits for it. Answers the release. */
async function lock() {
  const file = join(cacheFolder(), 'setup.lock');
  mkdirSync(cacheFolder(), { recursive: true });
  for (let waited = false; ; waited = true) {
    try {
      writeFileSync(file, `${process.pid}`, { flag: 'wx' });
      return () => rmSync(file, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = readFileSync(file, 'utf8');
    if (!isSetUp(owner)) {
      rmSync(file, { force: true });
      continue;
    }
    if (!waited) console.log(`set-up: waiting for the one that runs already (process ${owner})`);
    await sleep(300);
  }
}

/** Whether this process is a set-up still at work: a killed one leaves its lock, and its number may be used again. */
function isSetUp(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('setup.mjs');
  } catch {
    return false;
  }
}
