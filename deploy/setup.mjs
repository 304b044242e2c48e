/**
 * What `npm start` and `npm test` run first: installs, builds and fetches what is missing, each once.
 *
 *     node deploy/setup.mjs            what a run needs
 *     node deploy/setup.mjs --test     and what the tests need besides
 *     node deploy/setup.mjs build      only compiles what was edited
 *
 * Nothing is imported before Node's version is known: an old one would stop at the first new word instead of saying so.
 */

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`set-up: this is Node ${process.versions.node}, and hardcase needs 20.19 or newer.`);
  console.error(
    '  What to do: install a current Node (nodejs.org, nvm, or your distribution), and run the same command again.',
  );
  process.exit(1);
}

const { setUp } = await import('./setup/main.mjs');
process.exitCode = await setUp(process.argv.slice(2));
