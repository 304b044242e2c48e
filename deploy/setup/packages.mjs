/** Installs the npm packages exactly as package-lock.json names them, and lets npx find our own command. */

import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, onPath } from './parts.mjs';
import { SetupError } from './remedies.mjs';
import { missingSpace, runTool } from './tools.mjs';

export function packagesStage(root) {
  const lockFile = join(root, 'package-lock.json');
  const modules = join(root, 'node_modules');
  // npm clears the whole folder when it installs, and the stamp with it.
  const stamp = join(modules, '.hardcase', 'packages');
  const lockDigest = () => createHash('sha256').update(readFileSync(lockFile)).digest('hex');

  const writeStamp = () => {
    mkdirSync(join(modules, '.hardcase'), { recursive: true });
    writeFileSync(stamp, lockDigest());
  };

  return {
    name: 'npm packages',
    isDone: () => {
      if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lockDigest()) return true;
      if (!isInstalled(lockFile, join(modules, '.package-lock.json'))) return false;
      // Somebody ran `npm install` by hand: what it left is what the lock file wants.
      writeStamp();
      return true;
    },
    problems: () => {
      if (!onPath('npm')) {
        return [new SetupError('npm was not found on PATH.', 'Install Node.js together with npm (20.19 or newer).')];
      }
      return [missingSpace(root, 1, 'Installing the npm packages')].filter(Boolean);
    },
    run: async () => {
      const difference = unlocked(join(root, 'package.json'), lockFile);
      if (difference) {
        const remedy =
          'Run "npm install", look at what it changed in package-lock.json, and run the same command again.';
        throw new SetupError(`package-lock.json does not fit package.json: ${difference}.`, remedy);
      }
      // A package that was half unpacked when something was interrupted would count as installed.
      rmSync(modules, { recursive: true, force: true });
      await askRegistry(root, lockFile);
      // Not `npm ci`: it refuses a lock file that leaves out optional packages for other platforms, and a registry that
      // mirrors only some platforms makes such lock files. What is locked is installed and verified all the same.
      const flags = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--no-progress'];
      await runTool(
        'npm install',
        'npm',
        [...flags, '--update-notifier=false', '--cache', join(cacheFolder(), 'npm')],
        {
          cwd: root,
          log: 'npm',
        },
      );
      writeStamp();
      return `${Object.keys(readPackages(join(modules, '.package-lock.json'))).length} packages as locked`;
    },
  };
}

/** `npx hardcase` looks in node_modules/.bin, where npm links the commands of dependencies but not our own. */
export function linkCommand(root) {
  const link = join(root, 'node_modules', '.bin', 'hardcase');
  if (lstatSync(link, { throwIfNoEntry: false })) return;
  mkdirSync(join(root, 'node_modules', '.bin'), { recursive: true });
  symlinkSync('../../dist/cli/main.js', link);
}

/** Without a network, npm asks for hundreds of packages one after the other, each again and again, for a quarter of an hour. */
async function askRegistry(root, lockFile) {
  const [name, version] = Object.entries(readPackages(lockFile)[''].dependencies)[0];
  const flags = ['--fetch-retries=2', '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=4000'];
  // Online even where the user's settings prefer a cache, which would hide that nobody answers.
  flags.push('--prefer-online', '--update-notifier=false', '--cache', join(cacheFolder(), 'npm'));
  await runTool('npm view', 'npm', ['view', `${name}@${version}`, 'version', ...flags], { cwd: root, log: 'npm-view' });
}

/** Null, or the first direct dependency whose wish in package.json is another one than when the lock file was written. */
function unlocked(packageFile, lockFile) {
  const wanted = JSON.parse(readFileSync(packageFile, 'utf8'));
  const locked = readPackages(lockFile)[''];
  for (const kind of ['dependencies', 'devDependencies']) {
    for (const name of Object.keys({ ...wanted[kind], ...locked[kind] })) {
      const [now, then] = [wanted[kind]?.[name], locked[kind]?.[name]];
      if (now !== then) return `${name} is ${then ?? 'absent'} in the first and ${now ?? 'absent'} in the second`;
    }
  }
  return null;
}

const readPackages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;

/** Whether npm's note of what lies in node_modules is what the lock file asks for. npm writes that note last. */
export function isInstalled(lockFile, noteFile) {
  if (!existsSync(noteFile)) return false;
  const wanted = readPackages(lockFile);
  const present = readPackages(noteFile);
  const differs = (path) => present[path]?.version !== wanted[path]?.version;
  // Optional packages are left out where they are for another platform.
  const missing = Object.keys(wanted).filter((path) => path !== '' && !wanted[path].optional && differs(path));
  return missing.length === 0 && !Object.keys(present).some(differs);
}
