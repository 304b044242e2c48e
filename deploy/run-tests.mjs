/** What `npm test` runs after the set-up: formatter and linter, then all tests. Its last line is `N passed, N failed`. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
// Without git's ignore file it would also read what runs leave in .hardcase/.
const biomeFlags = ['--error-on-warnings', '--vcs-enabled=true', '--vcs-client-kind=git', '--vcs-use-ignore-file=true'];
const wanted = process.argv.slice(2);

/** Runs a tool of node_modules with its output on ours; answers its exit status. */
function run(tool, args) {
  return spawnSync(process.execPath, [join(root, 'node_modules', tool), ...args], { cwd: root, stdio: 'inherit' })
    .status;
}

/**
 * The tests of a report in vitest's JSON form. A file that could not be loaded holds no tests and counts as one that
 * failed; so does a run that failed outside of any test.
 */
export function countTests(report, status) {
  const count = { passed: report.numPassedTests, failed: report.numFailedTests, skipped: 0 };
  count.skipped = report.numPendingTests + report.numTodoTests;
  const isBroken = (file) =>
    file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed');
  count.failed += report.testResults.filter(isBroken).length;
  if (status !== 0 && count.failed === 0) count.failed = 1;
  return count;
}

function main() {
  const count = { passed: 0, failed: 0, skipped: 0 };
  // The set-up has checked the types: it does not get here with an error in them.
  count.passed++;
  count[run('@biomejs/biome/bin/biome', ['check', ...biomeFlags, '.']) === 0 ? 'passed' : 'failed']++;

  const folder = mkdtempSync(join(tmpdir(), 'hardcase-tests-'));
  const file = join(folder, 'report.json');
  const status = run('vitest/vitest.mjs', [
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile=${file}`,
    ...wanted,
  ]);
  try {
    const tests = countTests(JSON.parse(readFileSync(file, 'utf8')), status);
    for (const key of Object.keys(count)) count[key] += tests[key];
  } catch (error) {
    console.error(`vitest ended with status ${status} and left no report: ${error.message}`);
    count.failed++;
  }
  rmSync(folder, { recursive: true, force: true });

  const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : '';
  console.log(`${count.passed} passed, ${count.failed} failed${skipped}`);
  return count.failed === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main();
