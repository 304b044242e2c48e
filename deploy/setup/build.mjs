/** Compiles the TypeScript sources into dist/, and bundles the workflows for Temporal's sandbox. */

import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { SetupError } from './remedies.mjs';
import { runTool } from './tools.mjs';

export function compileStage(root) {
  const dist = join(root, 'dist');
  const stamp = join(dist, '.compiled');
  const folders = () => JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8')).include;
  // Contents, not times: a fresh clone and a switched branch have new times on old files.
  const digest = () => {
    const settings = ['tsconfig.json', 'package-lock.json'].map((name) => join(root, name));
    return digestFiles(root, [...settings, ...folders().flatMap((folder) => sourcesIn(join(root, folder)))]);
  };
  return {
    name: 'TypeScript',
    isDone: () => existsSync(stamp) && readFileSync(stamp, 'utf8') === digest(),
    problems: () => [],
    run: async () => {
      // Taken before the compiler reads them: what is edited meanwhile is compiled by the next call.
      const inputs = digest();
      rmSync(stamp, { force: true });
      removeOrphans(root, dist, folders());
      copyPlainModules(root, dist);
      await compile(root);
      const command = join(dist, 'cli', 'main.js');
      if (existsSync(command)) chmodSync(command, 0o755);
      writeFileSync(stamp, inputs);
      return 'checked and compiled';
    },
  };
}

async function compile(root, project = 'tsconfig.json') {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const explainWith = (output, logFile) => {
    const errors = output.split('\n').filter((line) => /error TS\d+/.test(line));
    if (errors.length === 0) return null;
    const shown = errors.slice(0, 20).join('\n');
    const message = `The sources have ${errors.length} type error${errors.length > 1 ? 's' : ''}:\n${shown}`;
    return new SetupError(message, 'Correct them, and run the same command again.', logFile);
  };
  await runTool('tsc', process.execPath, [compiler, '-p', project], { cwd: root, log: 'tsc', explainWith });
}

/** Outputs of sources that were renamed or removed would still be found by imports and by globs. */
function removeOrphans(root, dist, folders) {
  for (const folder of folders) {
    for (const path of filesIn(join(dist, folder))) {
      const source = join(root, relative(dist, path).replace(/\.js(\.map)?$/, '.ts'));
      if (/\.js(\.map)?$/.test(path) && !existsSync(source)) rmSync(path);
    }
  }
}

/** The compiler leaves plain modules where they are; deploy/servers.ts imports some of the set-up's. */
function copyPlainModules(root, dist) {
  for (const path of filesIn(join(root, 'deploy'))) {
    if (!path.endsWith('.mjs')) continue;
    const target = join(dist, relative(root, path));
    mkdirSync(dirname(target), { recursive: true });
    cpSync(path, target);
  }
}

export function bundleStage(root) {
  const dist = join(root, 'dist');
  const stamp = join(dist, '.bundled');
  // All that workflows may import: test/imports.test.ts holds them to it.
  const inputs = () => {
    const sources = ['workflows', 'plan', 'spec', 'deploy'].flatMap((folder) => filesIn(join(dist, folder)));
    const compiled = sources.filter((path) => path.endsWith('.js'));
    return digestFiles(root, [join(root, 'package-lock.json'), ...compiled]);
  };
  return {
    name: 'workflow bundle',
    isDone: () =>
      existsSync(join(dist, 'workflow-bundle.js')) && existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs(),
    problems: () => [],
    run: async () => {
      const digest = inputs();
      const program = join(dist, 'deploy', 'bundle-workflows.js');
      await runTool('bundling the workflows', process.execPath, [program], { cwd: root, log: 'bundle' });
      writeFileSync(stamp, digest);
      return 'made';
    },
  };
}

/** `dist/detect.js`, which the export step writes beside a model: detection/browser/ and all that it imports, in one file. */
export function browserStage(root) {
  const dist = join(root, 'dist');
  const target = join(dist, 'detect.js');
  const stamp = join(dist, '.bundled-detect');
  const inputs = () => {
    const compiled = filesIn(join(dist, 'detection')).filter((path) => path.endsWith('.js'));
    return digestFiles(root, [join(root, 'package-lock.json'), ...compiled]);
  };
  return {
    name: 'detector for browsers',
    isDone: () => existsSync(target) && existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs(),
    problems: () => [],
    run: async () => {
      const digest = inputs();
      const bundler = join(root, 'node_modules', 'rolldown', 'bin', 'cli.mjs');
      const entry = join(dist, 'detection', 'browser', 'detect.js');
      const args = [bundler, entry, '--format', 'esm', '--platform', 'browser', '--file', target];
      await runTool('bundling the detector', process.execPath, args, { cwd: root, log: 'bundle-detect' });
      writeFileSync(stamp, digest);
      return 'made';
    },
  };
}

/** `dist/check-command.cjs`, so that `hardcase check` starts at once. */
export function checkStage(root) {
  const dist = join(root, 'dist');
  const target = join(dist, 'check-command.cjs');
  const stamp = join(dist, '.bundled-check');
  const inputs = () => {
    const sources = ['cli', 'spec', 'plan', 'schemas', 'artifacts', 'deploy'].flatMap((name) =>
      filesIn(join(dist, name)),
    );
    return digestFiles(root, [join(root, 'package-lock.json'), ...sources.filter((path) => /\.js(on)?$/.test(path))]);
  };
  return {
    name: 'quick check',
    isDone: () => existsSync(target) && existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs(),
    problems: () => [],
    run: async () => {
      const digest = inputs();
      const program = join(dist, 'deploy', 'bundle-check.js');
      await runTool('bundling the check', process.execPath, [program], { cwd: root, log: 'bundle-check' });
      writeFileSync(stamp, digest);
      return 'made';
    },
  };
}

/** `dist/review-page`, which `hardcase review` serves: review/page/ and what it shares with the server, checked and bundled. */
export function pageStage(root) {
  const dist = join(root, 'dist');
  const folder = join(root, 'review', 'page');
  const stamp = join(dist, '.bundled-page');
  const inputs = () => {
    const shared = readdirSync(join(root, 'review')).filter((name) => name.endsWith('.ts'));
    const settings = ['tsconfig.json', 'package-lock.json'].map((name) => join(root, name));
    return digestFiles(root, [...settings, ...shared.map((name) => join(root, 'review', name)), ...filesIn(folder)]);
  };
  return {
    name: 'review page',
    isDone: () =>
      existsSync(join(dist, 'review-page', 'index.html')) &&
      existsSync(stamp) &&
      readFileSync(stamp, 'utf8') === inputs(),
    problems: () => [],
    run: async () => {
      const digest = inputs();
      await compile(root, join(folder, 'tsconfig.json'));
      const bundler = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
      const args = [bundler, 'build', '--config', join(folder, 'vite.config.mjs')];
      await runTool('bundling the review page', process.execPath, args, { cwd: root, log: 'bundle-page' });
      writeFileSync(stamp, digest);
      return 'checked and made';
    },
  };
}

/** Sorted, so that the digest does not depend on the order of the file system. */
function filesIn(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

const sourcesIn = (folder) => filesIn(folder).filter((path) => /\.(ts|mts|mjs|json)$/.test(path));

export function digestFiles(root, paths) {
  const hash = createHash('sha256');
  for (const path of paths) {
    const content = readFileSync(path);
    hash.update(`${relative(root, path)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}
