#!/usr/bin/env node
/** Arguments to command to exit code. Only a second Ctrl-C ends the process elsewhere. Each command loads its own code. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { fullDisk } from '../deploy/full-disk.ts';
import { openQuickCheck } from '../deploy/quick-check.ts';
import * as output from './output.ts';
import { CommandError, type ExitCode, exitCodes, note, rememberPlace } from './output.ts';
import { outliveReader, writeFailure } from './reader.ts';
import { type ConnectionFlags, loadSettings } from './settings.ts';

type Flags = { readonly [name: string]: unknown };

const program = new Command('hardcase');
program
  .description('Trains object detectors on imperfect data: a durable engine for pipelines written in YAML.')
  .version(ownVersion(), '-V, --version', 'print the version')
  .helpCommand('help [command]', 'explain a command')
  .showHelpAfterError('Run with --help for usage.')
  .addHelpText(
    'after',
    `
Which store and which Temporal server: flags, then environment (HARDCASE_STORE, HARDCASE_QUEUE, TEMPORAL_ADDRESS,
TEMPORAL_NAMESPACE …), then hardcase.config.yaml. Without an address an embedded engine runs in .hardcase/.

Exit codes: 0 done, 1 the pipeline or the data is at fault, 2 wrong usage, 3 waiting for a human (--no-wait),
4 the engine or a service failed, or only held steps are left, 130 after Ctrl-C.`,
  )
  .exitOverride();

/** What the command answered; main waits for it before the process ends. */
let exitCode: ExitCode | number = exitCodes.done;

/** Adds a command. `example` is shown at the end of its help. */
function add(
  parent: Command,
  usage: string,
  description: string,
  example: string,
  define: (command: Command) => void,
): void {
  const command = parent.command(usage).description(description);
  command.addHelpText('after', `\nExample:\n${example.replace(/^/gm, '  ')}`);
  define(command);
}

/** Runs the function with the command's arguments and flags. */
function act(command: Command, work: (args: readonly string[], flags: Flags) => Promise<ExitCode | number>): void {
  command.action(async () => {
    exitCode = await work(command.processedArgs as string[], command.opts());
  });
}

const withStore = (command: Command): Command =>
  command.option('--store <where>', 'a folder, or s3://bucket/prefix (HARDCASE_STORE; .hardcase/store)');

const withEngine = (command: Command): Command =>
  withStore(command)
    .option('--address <host:port>', 'Temporal server to use instead of the embedded engine (TEMPORAL_ADDRESS)')
    .option('--namespace <name>', 'its namespace (TEMPORAL_NAMESPACE)')
    .option('--queue <prefix>', 'prefix of the task queues (HARDCASE_QUEUE; hardcase)');

const withJson = (command: Command): Command => command.option('--json', 'print JSON for programs');

const withParams = (command: Command): Command =>
  command.option('-p, --param <name=value>', "a pipeline's param; may be repeated", collect, []);

const withWho = (command: Command): Command =>
  command.option('--by <name>', 'who asks (your user name)').option('--reason <text>', 'why, for the record');

const whoFlags = (flags: Flags) => ({ by: text(flags.by), reason: text(flags.reason), json: flags.json === true });

const settingsOf = (flags: Flags) => {
  rememberPlace(flags as ConnectionFlags);
  return loadSettings(flags as ConnectionFlags);
};
const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const list = (value: unknown): readonly string[] => (value as readonly string[] | undefined) ?? [];

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** `--json` is short for `--format json`. */
const formatOf = (flags: Flags): string => (flags.json === true ? 'json' : (text(flags.format) ?? 'text'));

function number(value: string): number {
  if (value.trim() === '' || !Number.isFinite(Number(value))) throw new InvalidArgumentError('Expected a number.');
  return Number(value);
}

function wholeNumber(value: string): number {
  if (!/^\d+$/.test(value)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(value);
}

/** The bundle that the build made, which starts in half the time; the modules that it is made of where there is none. */
async function loadCheck(): Promise<typeof import('./check.ts')> {
  const bundle = fileURLToPath(new URL('../check-command.cjs', import.meta.url));
  return openQuickCheck<typeof import('./check.ts')>(bundle, output)?.check ?? (await import('./check.ts'));
}

add(program, 'check', 'find every problem of pipeline files', 'hardcase check pipelines/*.yaml', (command) => {
  withJson(withParams(command))
    .argument('<file...>', 'pipeline files')
    .option('--format <format>', 'text, json, sarif or github', 'text')
    .option('--fix', 'mend what leaves no choice (mistyped names, quotes), show the change and write the file')
    .option('--dry-run', 'with --fix: show the change and write nothing')
    .option('--strict', 'end with status 1 for warnings too');
  act(command, async ([files], flags) => {
    const { runCheck, isTestFile } = await loadCheck();
    const tests = list(files).some(isTestFile) ? await import('./test-file.ts') : undefined;
    return await runCheck(list(files), {
      format: formatOf(flags),
      params: list(flags.param),
      fix: flags.fix === true,
      dryRun: flags.dryRun === true,
      strict: flags.strict === true,
      ...(tests === undefined ? {} : { readTests: tests.readTestFile }),
    });
  });
});

add(
  program,
  'explain',
  'say what a diagnostic means, with an example mended',
  'hardcase explain UNGUARDED_LAST',
  (command) => {
    withJson(command).argument('[code]', 'its code; without one, all are listed');
    act(command, async ([code], flags) => {
      const { runExplain } = await import('./explain.ts');
      return await runExplain(code, { json: flags.json === true });
    });
  },
);

add(
  program,
  'lsp',
  'serve editors: problems as you type, completion, hover, rename (docs/editors.md)',
  'hardcase lsp',
  (command) => {
    // Editors add it, whatever the server speaks.
    command.option('--stdio', 'speak on standard input and output (the only way)');
    act(command, async () => {
      const { serve } = await import('./lsp/server.ts');
      await serve();
      return exitCodes.done;
    });
  },
);

add(
  program,
  'plan',
  'show the steps of a pipeline, their order, which will be reused or run and why, and how long that takes',
  `hardcase plan pipelines/quickstart.yaml -p rounds=1
hardcase plan pipelines/quickstart.yaml --out plan.svg`,
  (command) => {
    withJson(withStore(withParams(command)))
      .argument('<file>', 'pipeline file')
      .option('--format <format>', "text, json, mermaid, dot, svg or png (by the ending of --out's file, else text)")
      .option('--out <file>', 'write there instead of to the standard output');
    act(command, async ([file], flags) => {
      const { runPlan } = await import('./plan.ts');
      return await runPlan(file!, {
        format: flags.json === true ? 'json' : text(flags.format),
        out: text(flags.out),
        params: list(flags.param),
        settings: settingsOf(flags),
      });
    });
  },
);

add(
  program,
  'compile',
  'write a pipeline as a Temporal workflow in TypeScript (docs/compile.md)',
  `hardcase compile pipelines/quickstart.yaml
hardcase compile pipelines/quickstart.yaml -p rounds=3 --out quickstart.ts`,
  (command) => {
    withParams(command)
      .argument('<file>', 'pipeline file')
      .option('--out <file>', 'write there instead of to the standard output');
    act(command, async ([file], flags) => {
      const { runCompile } = await import('./compile.ts');
      return await runCompile(file!, { params: list(flags.param), out: text(flags.out) });
    });
  },
);

add(
  program,
  'test',
  'run the tests beside pipelines (NAME.test.yaml), in virtual time and without a server',
  `hardcase test
hardcase test pipelines/quickstart.yaml --verbose`,
  (command) => {
    withJson(command)
      .argument('[path...]', 'test files, pipelines that have one, or folders (all under this folder)')
      .option('--name <text>', 'only tests whose name holds this')
      .option('--verbose', 'show what ran also in tests that pass')
      .option('--junit <file>', "write JUnit's XML there");
    act(command, async ([paths], flags) => {
      const { runTest } = await import('./test.ts');
      return await runTest(list(paths), {
        json: flags.json === true,
        junit: text(flags.junit),
        name: text(flags.name),
        verbose: flags.verbose === true,
      });
    });
  },
);

add(
  program,
  'run',
  'run a pipeline, or go on with a run of it, and show how it goes',
  `hardcase run pipelines/hard-cases.yaml -p data=./cherries
hardcase run pipelines/hard-cases.yaml -p data=./cherries --run cherries-1    goes on after Ctrl-C or a power cut
hardcase run pipelines/hard-cases.yaml --run cherries-1 --upgrade --reason 'two more rounds'    after an edit of the file`,
  (command) => {
    withJson(withEngine(withParams(command)))
      .argument('<file>', 'pipeline file')
      .option('--run <id>', 'the id of the run: joined where it exists with the same plan, else created')
      .option('--new', 'a new run, even where an unfinished one has the same plan')
      .option('--upgrade', 'let a run whose file has changed since follow it, where that concerns its future alone')
      .option('--by <name>', 'with --upgrade: who asks (your user name)')
      .option('--reason <text>', 'with --upgrade: why')
      .option('--review', 'also serve the review page, as long as this command lives')
      .option('--no-wait', 'end with status 3 when only a human can go on');
    act(command, async ([file], flags) => {
      if (flags.upgrade !== true && (flags.by !== undefined || flags.reason !== undefined)) {
        throw new CommandError(
          '--by and --reason say who changes a run, and have a place beside --upgrade alone.',
          exitCodes.usage,
        );
      }
      const { runRun } = await import('./run.ts');
      const { whoOf } = await import('./operate.ts');
      return await runRun(settingsOf(flags), file!, {
        params: list(flags.param),
        run: text(flags.run),
        forceNew: flags.new === true,
        ...(flags.upgrade === true ? { upgrade: whoOf(whoFlags(flags)) } : {}),
        review: flags.review === true,
        wait: flags.wait !== false,
        json: flags.json === true,
      });
    });
  },
);

add(program, 'runs', 'list all runs, newest first', 'hardcase runs --json', (command) => {
  withJson(withStore(command));
  act(command, async (_, flags) => {
    const { runRuns } = await import('./runs.ts');
    return await runRuns(settingsOf(flags), { json: flags.json === true });
  });
});

const runArgument = 'id of a run, the beginning of one, or "latest"';

add(program, 'status', 'show one run, from its record alone', 'hardcase status latest', (command) => {
  withJson(withStore(command)).argument('<run>', runArgument);
  act(command, async ([run], flags) => {
    const { runStatus } = await import('./status.ts');
    return await runStatus(settingsOf(flags), run!, { json: flags.json === true });
  });
});

add(program, 'watch', 'follow a run that goes on elsewhere', 'hardcase watch latest', (command) => {
  withJson(withEngine(command)).argument('<run>', runArgument);
  act(command, async ([run], flags) => {
    const { runWatch } = await import('./watch.ts');
    return await runWatch(settingsOf(flags), run!, { json: flags.json === true });
  });
});

add(program, 'retry', 'let held steps try again', "hardcase retry latest 'rounds[2].train'", (command) => {
  withJson(withEngine(command))
    .argument('<run>', runArgument)
    .argument('[step]', 'path of one held step; without it, all of them')
    .option('-p, --set <name=value>', 'another value of a parameter of that step; may be repeated', collect, []);
  withWho(command);
  act(command, async ([run, step], flags) => {
    const { runRetry } = await import('./retry.ts');
    return await runRetry(settingsOf(flags), run!, step, list(flags.set), whoFlags(flags));
  });
});

add(
  program,
  'pause',
  'let no new step begin; what runs is finished first',
  "hardcase pause latest --now --reason 'the GPU is needed elsewhere'",
  (command) => {
    withWho(withJson(withEngine(command)))
      .argument('<run>', runArgument)
      .option('--now', 'also stop what runs, at a checkpoint, within ten seconds');
    act(command, async ([run], flags) => {
      const { runPause } = await import('./operate.ts');
      return await runPause(settingsOf(flags), run!, { ...whoFlags(flags), now: flags.now === true });
    });
  },
);

add(program, 'resume', 'let a paused run go on', 'hardcase resume latest', (command) => {
  withWho(withJson(withEngine(command))).argument('<run>', runArgument);
  act(command, async ([run], flags) => {
    const { runResume } = await import('./operate.ts');
    return await runResume(settingsOf(flags), run!, whoFlags(flags));
  });
});

add(
  program,
  'skip',
  'go on without a step, and without what needs its outputs',
  "hardcase skip latest 'rounds[2].review' --reason 'nobody has time for it'",
  (command) => {
    withWho(withJson(withEngine(command)))
      .argument('<run>', runArgument)
      .argument('<step>', 'path of a step');
    act(command, async ([run, step], flags) => {
      const { runSkip } = await import('./operate.ts');
      return await runSkip(settingsOf(flags), run!, step!, whoFlags(flags));
    });
  },
);

add(
  program,
  'reset',
  'run a step, and what depends on it, anew',
  "hardcase reset latest --to review --reason 'the gate expired too early'",
  (command) => {
    withWho(withJson(withEngine(command)))
      .argument('<run>', runArgument)
      .requiredOption('--to <step>', 'path of the step that runs anew')
      .option('-p, --set <name=value>', 'another value of a parameter of that step; may be repeated', collect, []);
    act(command, async ([run], flags) => {
      const { runReset } = await import('./operate.ts');
      return await runReset(settingsOf(flags), run!, text(flags.to)!, list(flags.set), whoFlags(flags));
    });
  },
);

add(
  program,
  'cancel',
  'end a run for good; what is finished stays in the store',
  'hardcase cancel latest',
  (command) => {
    withWho(withJson(withEngine(command))).argument('<run>', runArgument);
    act(command, async ([run], flags) => {
      const { runCancel } = await import('./cancel.ts');
      return await runCancel(settingsOf(flags), run!, whoFlags(flags));
    });
  },
);

add(program, 'report', "write a run's report", 'hardcase report latest --out report.html', (command) => {
  withJson(withStore(command))
    .argument('<run>', runArgument)
    .option('--out <file>', 'HTML file to write; the Markdown goes beside it (.hardcase/runs/RUN/report.html)');
  act(command, async ([run], flags) => {
    const { runReport } = await import('./report.ts');
    return await runReport(settingsOf(flags), run!, { out: text(flags.out), json: flags.json === true });
  });
});

add(
  program,
  'why',
  'say why a step ran or was reused, and what its inputs came from',
  "hardcase why latest 'rounds[2].train'",
  (command) => {
    withJson(withStore(command)).argument('<run>', runArgument).argument('<step>', 'path of a step');
    act(command, async ([run, step], flags) => {
      const { runWhy } = await import('./why.ts');
      return await runWhy(settingsOf(flags), run!, step!, { json: flags.json === true });
    });
  },
);

add(
  program,
  'fork',
  'start a new run that reuses what came before a step of another, and runs that step and the rest anew',
  `hardcase fork latest --from 'rounds[2].train' -p roundEpochs=30
hardcase fork latest --from model1 --dry-run`,
  (command) => {
    withJson(withEngine(withParams(command)))
      .argument('<run>', runArgument)
      .requiredOption(
        '--from <step>',
        'path of the step, such as model1, rounds[2].train, or rounds[2] for all of that round',
      )
      .option('--run <id>', 'the id of the new run')
      .option('--no-wait', 'end with status 3 when only a human can go on')
      .option('--dry-run', 'show what would be reused and run, and start nothing');
    act(command, async ([run], flags) => {
      const { runFork } = await import('./fork.ts');
      return await runFork(settingsOf(flags), run!, {
        from: text(flags.from)!,
        params: list(flags.param),
        run: text(flags.run),
        wait: flags.wait !== false,
        dryRun: flags.dryRun === true,
        json: flags.json === true,
      });
    });
  },
);

add(
  program,
  'verify',
  'check that what a run recorded is whole: digests, fingerprints, hash chains, decisions',
  `hardcase verify latest
hardcase verify latest --recompute model0    trains again, and compares the digests`,
  (command) => {
    withJson(withStore(command))
      .argument('<run>', runArgument)
      .option('--recompute <step>', 'also compute this finished step again, apart from its checkpoints');
    act(command, async ([run], flags) => {
      const { runVerify } = await import('./verify.ts');
      return await runVerify(settingsOf(flags), run!, {
        recompute: text(flags.recompute),
        json: flags.json === true,
      });
    });
  },
);

add(
  program,
  'gc',
  'show what the store holds that nothing needs, and remove it with --delete',
  `hardcase gc                                            what could go, and how large it is
hardcase gc --older-than 30d --keep cherries-1 --delete`,
  (command) => {
    withJson(withStore(command))
      .option('--delete', 'remove it; without this, nothing is removed')
      .option('--older-than <duration>', 'also finished runs that ended longer ago, such as 30d')
      .option('--keep <run>', 'a run that stays in any case; may be repeated', collect, [])
      .option('--grace <duration>', 'younger objects stay: they may belong to a step that still runs', '24h');
    act(command, async (_, flags) => {
      const { runGc } = await import('./gc.ts');
      return await runGc(settingsOf(flags), {
        delete: flags.delete === true,
        olderThan: text(flags.olderThan),
        keep: list(flags.keep),
        grace: text(flags.grace)!,
        json: flags.json === true,
      });
    });
  },
);

const review = program
  .command('review')
  .description('answer gates: label reviews on a page, or list, show and decide candidates and forms of approve steps');

review
  .command('page', { isDefault: true })
  .description('serve the review page until Ctrl-C; this is what "hardcase review [run]" does')
  .argument('[run]', `${runArgument} (all that go on)`)
  .option('--host <address>', 'where to listen (127.0.0.1); beyond this machine with tokens and TLS only')
  .option('--port <number>', 'port (the last one, else 4860, else a free one)', wholeNumber)
  .option('--public-name <name>', 'the name by which browsers reach it, with --host')
  .option('--tls-cert <file>', 'certificate, PEM')
  .option('--tls-key <file>', 'its key, PEM')
  .option('--reviewers <file>', 'YAML list of name, role (viewer, reviewer, lead) and token')
  .option('--by <name>', 'who decides, where there is no list of reviewers (your user name)')
  .option('--no-open', 'do not open a browser');
const reviewPage = review.commands[0]!;
withJson(withEngine(reviewPage)).addHelpText('after', '\nExample:\n  hardcase review latest');
act(reviewPage, async ([run], flags) => {
  const { runReviewPage } = await import('./review-page.ts');
  return await runReviewPage(settingsOf(flags), run, {
    host: text(flags.host),
    port: flags.port as number | undefined,
    publicName: text(flags.publicName),
    tlsCert: text(flags.tlsCert),
    tlsKey: text(flags.tlsKey),
    reviewers: text(flags.reviewers),
    by: text(flags.by),
    open: flags.open !== false,
    json: flags.json === true,
  });
});

add(
  review,
  'list',
  'list the candidates and forms that wait for people',
  'hardcase review list latest --type missing',
  (command) => {
    withJson(withStore(command))
      .argument('[run]', `${runArgument} (all that go on)`)
      .argument('[gate]', 'one gate only, such as rounds[1].review')
      .option('--type <type>', 'missing, spurious, badly-located, wrong-class or duplicate')
      .option('--all', 'also what is decided, and closed gates')
      .option('--clusters', 'the same mistake in several images, to decide at once')
      .option('--differ', 'only those about which several people do not agree, with what each of them said')
      .option('--limit <count>', 'at most so many of each gate (50; JSON: all)', wholeNumber);
    act(command, async ([run, gate], flags) => {
      const { runReviewList } = await import('./review.ts');
      return await runReviewList(settingsOf(flags), run, {
        gate,
        type: text(flags.type),
        all: flags.all === true,
        clusters: flags.clusters === true,
        differ: flags.differ === true,
        limit: flags.limit as number | undefined,
        json: flags.json === true,
      });
    });
  },
);

add(
  review,
  'show',
  'draw a candidate: its place in the image with label and detection; or show an approve step',
  'hardcase review show 3f2a --out crop.png',
  (command) => {
    withJson(withStore(command))
      .argument('<candidate>', 'id of a candidate, or the beginning of one; or path of an approve step')
      .option('--run <id>', 'the run that asks about it (all that go on)')
      .option('--out <file>', 'PNG file to write (.hardcase/crops/CANDIDATE.png)');
    act(command, async ([candidate], flags) => {
      const { runReviewShow } = await import('./review.ts');
      return await runReviewShow(settingsOf(flags), candidate!, {
        run: text(flags.run),
        out: text(flags.out),
        json: flags.json === true,
      });
    });
  },
);

add(
  review,
  'decide',
  'send decisions to a gate',
  `hardcase review decide latest review 3f2a=accept 91bc=edit:10,12,44,40
hardcase review decide latest 'rounds[1].review' --file decisions.csv
hardcase review decide latest review cluster:kind-9a3b1c2d=accept
hardcase review decide latest review image:tree/7.png=add:10,12,44,40:cherry
hardcase review decide latest review --all reject --type spurious
hardcase review decide latest ok go=true epochs=30`,
  (command) => {
    withJson(withEngine(command))
      .argument('<run>', runArgument)
      .argument('<gate>', 'path of the review or approve step')
      .argument(
        '[decision...]',
        'CANDIDATE=accept|reject|ignore, CANDIDATE=edit:x1,y1,x2,y2[:category], cluster:ID=accept|reject|ignore, or image:FILE=add:x1,y1,x2,y2:category; of an approve step NAME=VALUE',
      )
      .option('--file <file>', 'decisions from a .json or .csv file; of an approve step a JSON object')
      .option('--all <verdict>', 'one verdict for every undecided candidate')
      .option('--type <type>', 'with --all: only candidates of this type')
      .option('--settle', 'the verdict where opinions of others differ (review list --differ)')
      .option('--by <name>', 'who decides (your user name)')
      .option('--reason <text>', 'why, for decisions without a reason of their own');
    act(command, async ([run, gate, decisions], flags) => {
      const { runReviewDecide } = await import('./review.ts');
      return await runReviewDecide(settingsOf(flags), run!, gate!, list(decisions), {
        file: text(flags.file),
        all: text(flags.all),
        type: text(flags.type),
        settle: flags.settle === true,
        by: text(flags.by),
        reason: text(flags.reason),
        json: flags.json === true,
      });
    });
  },
);

add(
  review,
  'proceed',
  'end the wait of a gate: the run goes on with what is decided',
  'hardcase review proceed latest review',
  (command) => {
    withJson(withEngine(command))
      .argument('<run>', runArgument)
      .argument('<gate>', 'path of the review step')
      .option('--by <name>', 'who says so (your user name)');
    act(command, async ([run, gate], flags) => {
      const { runReviewProceed } = await import('./review-proceed.ts');
      return await runReviewProceed(settingsOf(flags), run!, gate!, { by: text(flags.by), json: flags.json === true });
    });
  },
);

add(
  review,
  'export',
  'write what is in question for CVAT, Label Studio or another tool',
  'hardcase review export latest review --format cvat --out ./to-review',
  (command) => {
    withJson(withStore(command))
      .argument('<run>', runArgument)
      .argument('<gate>', 'path of the review step')
      .requiredOption('--format <name>', 'coco, cvat, label-studio or yolo')
      .requiredOption('--out <folder>', 'a folder that is new or empty')
      .option('--all', 'also what is decided, as it was decided');
    act(command, async ([run, gate], flags) => {
      const { runReviewExport } = await import('./review-files.ts');
      return await runReviewExport(settingsOf(flags), run!, gate!, {
        format: text(flags.format)!,
        out: text(flags.out)!,
        all: flags.all === true,
        json: flags.json === true,
      });
    });
  },
);

add(
  review,
  'import',
  'take what a tool made of the exported boxes as decisions',
  'hardcase review import latest review ./corrected.xml',
  (command) => {
    withJson(withEngine(command))
      .argument('<run>', runArgument)
      .argument('<gate>', 'path of the review step')
      .argument('<file>', 'the corrected file, or for YOLO the folder')
      .option('--format <name>', 'auto, coco, cvat, label-studio or yolo', 'auto')
      .option('--by <name>', 'who decided (your user name)')
      .option('--dry-run', 'tell what would be decided, and send nothing');
    act(command, async ([run, gate, file], flags) => {
      const { runReviewImport } = await import('./review-files.ts');
      return await runReviewImport(settingsOf(flags), run!, gate!, file!, {
        format: text(flags.format),
        by: text(flags.by),
        dryRun: flags.dryRun === true,
        json: flags.json === true,
      });
    });
  },
);

add(
  review,
  'audit',
  'check that the ledger of decisions is as it was written',
  'hardcase review audit latest',
  (command) => {
    withJson(withStore(command)).argument('<run>', runArgument);
    act(command, async ([run], flags) => {
      const { runReviewAudit } = await import('./review-audit.ts');
      return await runReviewAudit(settingsOf(flags), run!, { json: flags.json === true });
    });
  },
);

add(
  review,
  'stats',
  'what reviewers did, how often they were right, how far they agree',
  'hardcase review stats anna-1 ben-1',
  (command) => {
    withJson(withStore(command)).argument(
      '<run...>',
      `${runArgument}; several: the same candidates asked of several people`,
    );
    act(command, async ([runs], flags) => {
      const { runReviewStats } = await import('./review-stats.ts');
      return await runReviewStats(settingsOf(flags), list(runs), { json: flags.json === true });
    });
  },
);

const labels = program.command('labels').description('label versions: log, diff, blame, merge, export');

add(labels, 'log', 'list label versions, oldest first', 'hardcase labels log latest', (command) => {
  withJson(withStore(command)).argument('[run]', `${runArgument} (all)`);
  act(command, async ([run], flags) => {
    const { runLabelsLog } = await import('./labels.ts');
    return await runLabelsLog(settingsOf(flags), run, { json: flags.json === true });
  });
});

const versionArgument = 'beginning of its digest, or RUN:STEP such as latest:review';

add(
  labels,
  'diff',
  'what differs between two label versions',
  'hardcase labels diff latest:data latest:review',
  (command) => {
    withJson(withStore(command))
      .argument('<a>', versionArgument)
      .argument('<b>', versionArgument)
      .option('--limit <count>', 'at most so many boxes (50; JSON: all)', wholeNumber);
    act(command, async ([a, b], flags) => {
      const { runLabelsDiff } = await import('./labels.ts');
      return await runLabelsDiff(settingsOf(flags), a!, b!, {
        limit: flags.limit as number | undefined,
        json: flags.json === true,
      });
    });
  },
);

add(labels, 'blame', 'who changed a box, when and why', 'hardcase labels blame 117', (command) => {
  withJson(withStore(command))
    .argument('<box>', 'id of a box, as `labels diff` shows it')
    .option('--label-version <version>', `up to this version: ${versionArgument} (the newest that knows the box)`);
  act(command, async ([box], flags) => {
    const { runLabelsBlame } = await import('./labels.ts');
    return await runLabelsBlame(settingsOf(flags), box!, {
      version: text(flags.labelVersion),
      json: flags.json === true,
    });
  });
});

add(
  labels,
  'merge',
  'make one version of two with a common ancestor',
  'hardcase labels merge anna-1:review ben-1:review',
  (command) => {
    withJson(withStore(command))
      .argument('<a>', versionArgument)
      .argument('<b>', versionArgument)
      .option('--prefer <version>', 'A or B: whose box counts where both changed it');
    act(command, async ([a, b], flags) => {
      const { runLabelsMerge } = await import('./labels.ts');
      return await runLabelsMerge(settingsOf(flags), a!, b!, { prefer: text(flags.prefer), json: flags.json === true });
    });
  },
);

add(
  labels,
  'export',
  'write a label version with its images into a new folder',
  'hardcase labels export latest:review --format coco --out ./corrected',
  (command) => {
    withJson(withStore(command))
      .argument('<version>', versionArgument)
      .option('--format <name>', 'coco, voc or yolo', 'coco')
      .requiredOption('--out <folder>', 'a folder that is new or empty');
    act(command, async ([version], flags) => {
      const { runLabelsExport } = await import('./labels.ts');
      return await runLabelsExport(settingsOf(flags), version!, {
        format: text(flags.format)!,
        out: text(flags.out)!,
        json: flags.json === true,
      });
    });
  },
);

add(
  program,
  'worker',
  'run steps for a Temporal server, until Ctrl-C',
  'hardcase worker --address temporal.example:7233 --store s3://bucket/prefix --queues cpu,train',
  (command) => {
    withEngine(command).option(
      '--queues <names>',
      'which of workflows, cpu, train, and the queues that steps name',
      'workflows,cpu,train',
    );
    command.option('--review', 'also serve the review page, on this machine alone');
    command.option('--slots <queue=number,…>', 'steps at a time of a queue (cpu=4, others 1), such as train=2,cpu=8');
    command.option('--memory <percent>', 'begin no second step of a queue while more memory of the machine is in use');
    command.option('--versioned', 'runs stay with the build that began them (see "hardcase builds")');
    command.option('--workflows <file...>', 'workflows of "hardcase compile" that run in place of their pipelines');
    act(command, async (_, flags) => {
      const { runWorker } = await import('./worker.ts');
      return await runWorker(settingsOf(flags), {
        queues: text(flags.queues)!,
        review: flags.review === true,
        workflows: list(flags.workflows),
        slots: text(flags.slots),
        memory: text(flags.memory),
        versioned: flags.versioned === true,
      });
    });
  },
);

add(
  program,
  'builds',
  'which builds of hardcase serve a shared server, and which gets new runs',
  `hardcase builds --address temporal.example:7233
hardcase builds --current 0.2.0-1f0c5e3a9b7d    runs that begin go to this build
hardcase builds --move cherries-1               a run goes on with the build of this installation`,
  (command) => {
    withJson(withEngine(command))
      .option('--current <build>', 'let runs that begin go to this build')
      .option('--move <run>', "let a run go on with this installation's build, as far as it replays");
    act(command, async (_, flags) => {
      const { runBuilds } = await import('./builds.ts');
      const options = { current: text(flags.current), move: text(flags.move), json: flags.json === true };
      return await runBuilds(settingsOf(flags), options);
    });
  },
);

add(program, 'doctor', 'check every part: there, working, and what to do if not', 'hardcase doctor', (command) => {
  withJson(command);
  act(command, async (_, flags) => {
    const { runDoctor } = await import('./doctor.ts');
    return await runDoctor({ json: flags.json === true });
  });
});

add(
  program,
  'schema',
  "print the JSON Schema of pipeline files, or of one step kind's parameters",
  'hardcase schema train',
  (command) => {
    command.argument('[kind]', 'a step kind');
    act(command, async ([kind]) => {
      const { runSchema } = await import('./schema.ts');
      return await runSchema(kind);
    });
  },
);

add(
  program,
  'evaluate',
  'AP of a results file, as COCO or Pascal VOC count it',
  'hardcase evaluate --ground-truth instances.json --detections results.json --protocol voc2012 --iou 0.5',
  (command) => {
    withJson(command)
      .requiredOption('--ground-truth <file>', 'COCO instances file')
      .requiredOption('--detections <file>', 'COCO results file')
      .option('--protocol <name>', 'coco, voc2007 or voc2012', 'coco')
      .option('--iou <threshold>', 'IoU that counts as found (VOC; 0.5)', number);
    act(command, async (_, flags) => {
      const { runEvaluate } = await import('./evaluate.ts');
      return await runEvaluate({
        groundTruth: text(flags.groundTruth)!,
        detections: text(flags.detections)!,
        protocol: text(flags.protocol)!,
        iou: flags.iou as number | undefined,
        json: flags.json === true,
      });
    });
  },
);

add(
  program,
  'merge',
  'merge the results files of several models into one',
  'hardcase merge model-1.json model-2.json --method nms --iou 0.5 --out merged.json',
  (command) => {
    withJson(command)
      .argument('<file...>', 'COCO results files')
      .option('--method <name>', 'nms', 'nms')
      .option('--iou <threshold>', 'boxes that overlap more are one', number, 0.5)
      .requiredOption('--out <file>', 'COCO results file to write');
    act(command, async ([files], flags) => {
      const { runMerge } = await import('./merge.ts');
      return await runMerge({
        files: list(files),
        method: text(flags.method)!,
        iou: flags.iou as number,
        out: text(flags.out)!,
        json: flags.json === true,
      });
    });
  },
);

const dataset = program.command('dataset').description('look at a dataset folder, or write it in another format');

const withDataset = (command: Command): Command =>
  withJson(command)
    .argument('<path>', 'folder in COCO, Pascal VOC or YOLO layout')
    .option('--format <name>', 'auto, coco, voc or yolo', 'auto')
    .option('--group-by <rule>', 'a field, "folder", or a regular expression over file names');

const datasetFlags = (flags: Flags) => ({
  format: text(flags.format)!,
  groupBy: text(flags.groupBy),
  json: flags.json === true,
});

add(dataset, 'check', 'list every problem; decodes every image', 'hardcase dataset check ./cherries', (command) => {
  withDataset(command);
  act(command, async ([path], flags) => {
    const { runDatasetCheck } = await import('./dataset.ts');
    return await runDatasetCheck(path!, datasetFlags(flags));
  });
});

add(
  dataset,
  'convert',
  'write it in another format, into a new folder',
  'hardcase dataset convert ./cherries --to coco --out ./cherries-coco',
  (command) => {
    withDataset(command)
      .requiredOption('--to <format>', 'coco, voc or yolo')
      .requiredOption('--out <folder>', 'a folder that is new or empty')
      .option('--on-invalid <rule>', 'what to do about boxes that cannot be: error or drop', 'error');
    act(command, async ([path], flags) => {
      const { runDatasetConvert } = await import('./dataset.ts');
      return await runDatasetConvert(path!, {
        ...datasetFlags(flags),
        to: text(flags.to)!,
        out: text(flags.out)!,
        onInvalid: text(flags.onInvalid)!,
      });
    });
  },
);

add(
  dataset,
  'stats',
  'images, boxes, sizes and categories by split',
  'hardcase dataset stats ./cherries',
  (command) => {
    withDataset(command);
    act(command, async ([path], flags) => {
      const { runDatasetStats } = await import('./dataset.ts');
      return await runDatasetStats(path!, datasetFlags(flags));
    });
  },
);

await main();

async function main(): Promise<void> {
  // A reader that has seen enough (`| head`) changes nothing about what a command does, nor its code.
  for (const stream of [process.stdout, process.stderr]) outliveReader(stream);
  let code: number;
  try {
    await program.parseAsync();
    code = exitCode;
  } catch (error) {
    code = fail(error);
  }
  // Servers' connections and native threads must not keep a finished command alive; what it said must get out.
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))));
  const lost = writeFailure(process.stdout);
  if (lost !== null) {
    note(
      `Error: What the command prints could not be written: ${lost.message}. Free some space, or send it elsewhere.`,
    );
    code ||= exitCodes.engine;
  }
  process.exit(code);
}

/** One clear error for the user, and the exit code that belongs to it. */
function fail(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed it already; help and version that were asked for are no error.
    return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  }
  if (process.env.HARDCASE_DEBUG === '1') console.error(error);
  if (error instanceof CommandError) {
    note(`Error: ${error.message}`);
    return error.exitCode;
  }
  const { name, message, code, syscall, path } = error as NodeJS.ErrnoException;
  switch (name) {
    case 'EngineError':
    case 'StoreFullError':
    case 'StoreUnavailableError':
    case 'DamagedObjectError':
    case 'MissingArtifactError':
      note(`Error: ${message}`);
      return exitCodes.engine;
    case 'FileInTheWayError':
      note(`Error: ${message}`);
      return exitCodes.input;
    case 'ServiceError': {
      const reason = `The Temporal server did not do what was asked: ${reasonOf(error)}. See .hardcase/engine.log, or try again.`;
      note(`Error: ${fullDisk(join(process.cwd(), '.hardcase')) ?? reason}`);
      return exitCodes.engine;
    }
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    note(`Error: The disk is full${path ? ` (${path})` : ''}. Free some space, then run the same command again.`);
    return exitCodes.engine;
  }
  if (syscall !== undefined && code !== undefined) {
    note(`Error: ${message}`);
    return exitCodes.input;
  }
  note(
    `Internal error: ${message?.replace(/^Internal error: /, '') ?? String(error)}\nThis is a bug of hardcase. HARDCASE_DEBUG=1 shows where; please report it.`,
  );
  return exitCodes.engine;
}

function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? `${message}: ${cause.message}` : message;
}

/** package.json is beside `cli/` in the sources, and one folder further up in `dist/`. */
function ownVersion(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const value: unknown = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8'));
      if (typeof value === 'object' && value !== null && 'version' in value) return String(value.version);
    } catch {
      // It is at the other place.
    }
  }
  return 'unknown';
}
