/** Installs the npm packages exactly as package-lock.json names them, and lets npx find our own command. */

import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
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
      const flags = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--no-progress', '--update-notifier=false'];
      await runTool('npm ci', 'npm', [...flags, '--cache', join(cacheFolder(), 'npm')], { cwd: root, log: 'npm' });
      writeStamp();
      return `${Object.keys(readPackages(lockFile)).length - 1} packages`;
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
