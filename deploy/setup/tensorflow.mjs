/** Gives @tensorflow/tfjs-node its native half: the C library out of a Python wheel, and the addon compiled against it. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { libtensorflowFolder, onPath, TENSORFLOW } from './parts.mjs';
import { SetupError } from './remedies.mjs';
import { missingSpace, runTool, withTemporaryFolder } from './tools.mjs';

// The package's own installer fetches an older library from a host that many networks refuse; the wheel is on the registry.
export function libraryStage() {
  const library = join(libtensorflowFolder(), 'lib', 'libtensorflow_cc.so.2');
  return {
    name: `TensorFlow ${TENSORFLOW.version}`,
    isDone: () => statSync(library, { throwIfNoEntry: false })?.size === TENSORFLOW.libraryBytes,
    problems: () => {
      if (process.platform !== 'linux' || process.arch !== 'x64') {
        const here = `${process.platform}-${process.arch}`;
        return [
          new SetupError(
            `TensorFlow is set up for Linux on x86-64 only, and this is ${here}.`,
            'Use such a machine, or a container of that kind.',
          ),
        ];
      }
      if (!onPath('python3')) {
        const remedy = 'Install Python 3 with pip (Debian, Ubuntu: apt-get install python3 python3-pip).';
        return [new SetupError('python3 was not found on PATH; it fetches and unpacks TensorFlow.', remedy)];
      }
      return [missingSpace(libtensorflowFolder(), 1.2, 'TensorFlow')].filter(Boolean);
    },
    run: async () => {
      await checkPip();
      await withTemporaryFolder(async (folder) => {
        const wheel = await downloadWheel(folder);
        const unpacked = join(folder, 'unpacked');
        await runTool('unpacking TensorFlow', 'python3', ['-c', unpackProgram, wheel, unpacked], {
          log: 'tensorflow-unpack',
        });
        // The addon is linked with -ltensorflow, the name that the separate C library has.
        symlinkSync('libtensorflow_cc.so.2', join(unpacked, 'lib', 'libtensorflow.so'));
        symlinkSync('libtensorflow_framework.so.2', join(unpacked, 'lib', 'libtensorflow_framework.so'));
        rmSync(libtensorflowFolder(), { recursive: true, force: true });
        renameSync(unpacked, libtensorflowFolder());
      });
      return 'fetched, verified and unpacked';
    },
  };
}

async function checkPip() {
  const remedy =
    'Install it (Debian, Ubuntu: apt-get install python3-pip; elsewhere: python3 -m ensurepip), and run the same command again.';
  const explainWith = (_output, logFile) =>
    new SetupError('python3 has no pip; it fetches TensorFlow.', remedy, logFile);
  await runTool('pip', 'python3', ['-m', 'pip', '--version'], { log: 'pip-version', explainWith });
}

/** pip verifies the digest that the requirement names; it is checked once more here, whatever pip's version does. */
async function downloadWheel(folder) {
  const requirements = join(folder, 'requirements.txt');
  writeFileSync(requirements, `${TENSORFLOW.requirement} --hash=sha256:${TENSORFLOW.wheelSha256}\n`);
  const flags = ['--no-deps', '--only-binary=:all:', '--python-version', TENSORFLOW.wheelPython];
  // Its cache would keep a second copy of 230 MB.
  flags.push('--no-cache-dir', '--disable-pip-version-check', '--progress-bar', 'off', '--dest', folder);
  await runTool('pip download', 'python3', ['-m', 'pip', 'download', ...flags, '--requirement', requirements], {
    log: 'tensorflow-download',
  });
  const wheel = join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.whl')),
  );
  const hash = createHash('sha256');
  await once(
    createReadStream(wheel).on('data', (chunk) => hash.update(chunk)),
    'end',
  );
  const found = hash.digest('hex');
  if (found === TENSORFLOW.wheelSha256) return wheel;
  throw new SetupError(
    `The TensorFlow wheel has the digest ${found}, expected ${TENSORFLOW.wheelSha256}.`,
    'Something between here and the registry changed the file: try another network or mirror.',
  );
}

// Only the two libraries and the headers that the C interface includes: the rest of the wheel is Python.
const unpackProgram = `
import os, shutil, sys, zipfile
wheel, target = sys.argv[1:]
for entry in zipfile.ZipFile(wheel).infolist():
    name = entry.filename
    if name.startswith('tensorflow/libtensorflow'): path = 'lib/' + os.path.basename(name)
    elif name.startswith(('tensorflow/include/tensorflow/c/', 'tensorflow/include/tensorflow/core/platform/', 'tensorflow/include/tsl/', 'tensorflow/include/xla/tsl/')): path = name[len('tensorflow/'):]
    else: continue
    if entry.is_dir(): continue
    path = os.path.join(target, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with zipfile.ZipFile(wheel).open(entry) as source, open(path, 'wb') as copy: shutil.copyfileobj(source, copy, 1 << 20)
`;

// Node-API is stable across versions of Node, so one addon serves 20, 22 and 24, and the headers come as a package of
// their own instead of from the Node installation, which often has none.
const compileFlags = ['-std=c++17', '-O2', '-fPIC', '-fno-exceptions', '-fno-rtti', '-shared', '-pthread'];
const nodeApiVersion = 8;
// Raised by hand when the recipe below changes in a way that its other inputs do not show.
const recipe = 1;

export function addonStage(root) {
  const packageFolder = join(root, 'node_modules', '@tensorflow', 'tfjs-node');
  const addon = join(packageFolder, 'lib', `napi-v${nodeApiVersion}`, 'tfjs_binding.node');
  const deps = join(packageFolder, 'deps');
  const stamp = join(root, 'node_modules', '.hardcase', 'addon');
  const inputs = () =>
    JSON.stringify({
      recipe,
      package: JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')).version,
      library: TENSORFLOW.wheelSha256,
      folder: libtensorflowFolder(),
      flags: compileFlags,
    });
  const compiler = () => process.env.CXX || ['c++', 'g++', 'clang++'].find((name) => onPath(name));

  return {
    name: 'TensorFlow addon',
    isDone: () =>
      existsSync(stamp) &&
      existsSync(addon) &&
      existsSync(join(deps, 'lib')) &&
      readFileSync(stamp, 'utf8') === inputs(),
    problems: () => {
      if (compiler()) return [];
      const remedy = 'Install one (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++).';
      return [new SetupError("No C++ compiler was found on PATH; it builds TensorFlow's addon.", remedy)];
    },
    run: async () => {
      if (lstatSync(deps, { throwIfNoEntry: false })) rmSync(deps, { recursive: true });
      // Linked, not copied: 680 MB are enough once a user.
      symlinkSync(libtensorflowFolder(), deps);
      mkdirSync(join(addon, '..'), { recursive: true });
      const sources = ['tfjs_backend.cc', 'tfjs_binding.cc'].map((name) => join(packageFolder, 'binding', name));
      const headers = join(root, 'node_modules', 'node-api-headers', 'include');
      const unfinished = `${addon}.${process.pid}`;
      const flags = [...compileFlags, `-DNAPI_VERSION=${nodeApiVersion}`, `-I${headers}`, `-I${join(deps, 'include')}`];
      flags.push(...sources, `-L${join(deps, 'lib')}`, '-ltensorflow', '-ltensorflow_framework');
      await runTool('the C++ compiler', compiler(), [...flags, '-Wl,-rpath,$ORIGIN/../../deps/lib', '-o', unfinished], {
        log: 'tensorflow-addon',
      });
      renameSync(unfinished, addon);
      const program = `const tf = require('@tensorflow/tfjs-node'); if (tf.scalar(2).add(3).dataSync()[0] !== 5) process.exit(1)`;
      await runTool('loading TensorFlow', process.execPath, ['-e', program], { cwd: root, log: 'tensorflow-load' });
      mkdirSync(join(stamp, '..'), { recursive: true });
      writeFileSync(stamp, inputs());
      return 'compiled and loaded';
    },
  };
}
