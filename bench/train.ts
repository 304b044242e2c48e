/**
 * Training and inference beside PyTorch, with memory: `npm run bench -- train [case]…`. Both sides run in processes of their own
 * and take turns of a second or so, because machines are shared and change their speed; bench/README.md says more.
 */

import { availableParallelism } from 'node:os';
import { countParameters } from '../detection/model/network.ts';
import { conditions } from './proof/append-section.ts';
import { readArguments, runCommand } from './proof/command-line.ts';
import { BATCH_SIZE, caseNamed, type SpeedCase, speedCases } from './speed/cases.ts';
import { type Contestant, openOurs, openTorch, type What } from './speed/contestants.ts';
import { median, type Rounds, ratio } from './speed/rounds.ts';
import { appendTable, type CaseResult, type ContestantResult, caseLines, type SpeedResult } from './speed/table.ts';
import { torchPython } from './torch/python.ts';

const usage = `Usage: npm run bench -- train [case]… [option]…

Cases: ${speedCases.map(({ name }) => name).join(', ')} (all unless named).

  --quick           three rounds instead of seven, and no torch.compile
  --rounds N        so many rounds
  --compile         torch.compile in every case, and not only in S-160 and M-320: a minute or two each
  --append          adds the table to docs/benchmarks.md
  --install-torch   makes a Python environment with PyTorch in the user's cache folder, if there is none yet
`;

/** How long one contestant's turn lasts, and its bounds in steps. */
const TURN_MS = 1200;
const TURN_STEPS = [2, 16] as const;
const WARM_UP_STEPS = 3;
/** Times as slow as the best of its thread settings. */
const HOPELESS = 2;

interface Entrant {
  readonly name: string;
  open(threads: number): Promise<Contestant>;
}

interface Chosen {
  readonly contestant: Contestant;
  readonly threads: number;
  readonly steps: number;
  /** Of the warm-up. */
  readonly fastestMs: number;
}

interface Prepared {
  readonly name: string;
  readonly train: Chosen;
  /** Null: not measured. */
  readonly infer: Chosen | null;
  readonly peakBytes: number;
}

const COMPILED = 'torch.compile';

await runCommand(usage, async () => {
  const { values, positionals } = readArguments({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      compile: { type: 'boolean', default: false },
      append: { type: 'boolean', default: false },
      'install-torch': { type: 'boolean', default: false },
    },
  });
  const quick = values.quick as boolean;
  const rounds = Number(values.rounds ?? (quick ? 3 : 7));
  const cases = positionals.length === 0 ? speedCases : positionals.map(caseNamed);
  const python = torchPython({ install: values['install-torch'] as boolean });
  console.log(`${conditions()}; batch ${BATCH_SIZE}, ${rounds} rounds`);
  const results: CaseResult[] = [];
  for (const one of cases) {
    const compile = !quick && (one.beatsCompile || (values.compile as boolean));
    const result = await measureCase(one, python, { rounds, compile });
    results.push(result);
    for (const line of caseLines(result)) console.log(line);
  }
  if (values.append) appendTable(results, conditions(), rounds);
});

async function measureCase(
  one: SpeedCase,
  python: string,
  { rounds, compile }: { rounds: number; compile: boolean },
): Promise<CaseResult> {
  const torch = (name: string, layout: 'channels_first' | 'channels_last', compiled: boolean): Entrant => ({
    name,
    open: (threads) => openTorch(one, python, { layout, compile: compiled }, threads),
  });
  const entrants: Entrant[] = [
    { name: 'hardcase', open: (threads) => openOurs(one, threads) },
    torch('PyTorch eager', 'channels_first', false),
    torch('PyTorch eager, channels_last', 'channels_last', false),
    ...(compile ? [torch(COMPILED, 'channels_last', true)] : []),
  ];
  const open: Contestant[] = [];
  try {
    const prepared: Prepared[] = [];
    for (const entrant of entrants) {
      try {
        prepared.push(await prepare(entrant, open));
        console.error(`${one.name}: ${entrant.name} is ready`);
      } catch (error) {
        // It needs a C++ compiler that suits it; the comparison is worth having without it.
        if (entrant.name !== COMPILED) throw error;
        console.error(`${one.name}: ${COMPILED} does not work here and is left out: ${(error as Error).message}`);
      }
    }
    const trained = prepared.map(({ train }) => train);
    const training = await takeTurns(trained, 'train', rounds);
    const inferring = prepared.flatMap(({ infer }) => infer ?? []);
    const inference = await takeTurns(inferring, 'infer', rounds);
    const resultOf = (chosen: Chosen, list: readonly Chosen[], all: readonly Rounds[]): SpeedResult => {
      const times = all[list.indexOf(chosen)]!;
      return { threads: chosen.threads, imagesPerSecond: perSecond(times), ratio: ratio(all[0]!, times) };
    };
    const contestants = prepared.map(
      ({ name, train, infer, peakBytes }): ContestantResult => ({
        name,
        training: resultOf(train, trained, training),
        inference: infer && resultOf(infer, inferring, inference),
        peakMegabytes: peakBytes / 1e6,
      }),
    );
    return { case: one, parameters: countParameters(one.architecture), contestants };
  } finally {
    for (const contestant of open) await contestant.close();
  }
}

/** Opens an entrant with each thread setting, and keeps the processes that are the better ones for something. */
async function prepare({ name, open: start }: Entrant, open: Contestant[]): Promise<Prepared> {
  const both: { contestant: Contestant; threads: number }[] = [];
  for (const threads of new Set([1, availableParallelism()])) {
    const contestant = await start(threads);
    open.push(contestant);
    both.push({ contestant, threads });
  }
  const train = await better(both, 'train');
  // Before inference adds to it.
  const peakBytes = await train.contestant.peakBytes();
  // Compiling inference too would take another minute or two each; its target is the eager one.
  const infer = name === COMPILED ? null : await better(both, 'infer');
  for (const { contestant } of both) {
    if (contestant === train.contestant || contestant === infer?.contestant) continue;
    await contestant.close();
    open.splice(open.indexOf(contestant), 1);
  }
  return { name, train, infer, peakBytes };
}

/** The thread setting with the better median in two turns each. */
async function better(both: readonly { contestant: Contestant; threads: number }[], what: What): Promise<Chosen> {
  const found: { chosen: Chosen; times: number[] }[] = [];
  for (const { contestant, threads } of both) {
    // The first step loads or compiles; the others tell how many make a turn.
    const warm = await contestant.run(what, WARM_UP_STEPS);
    const [least, most] = TURN_STEPS;
    const fastestMs = Math.min(...warm);
    const steps = Math.min(most, Math.max(least, Math.round(TURN_MS / fastestMs)));
    found.push({ chosen: { contestant, threads, steps, fastestMs }, times: [] });
  }
  // A setting that is far behind from the start (two threads on a machine with one core to spare) is not waited for.
  const best = Math.min(...found.map(({ chosen }) => chosen.fastestMs));
  const near = found.filter(({ chosen }) => chosen.fastestMs <= HOPELESS * best);
  for (let turn = 0; near.length > 1 && turn < 2; turn++) {
    for (const { chosen, times } of near) times.push(...(await chosen.contestant.run(what, chosen.steps)));
  }
  return near.toSorted((a, b) => median(a.times) - median(b.times))[0]!.chosen;
}

/** Median milliseconds of a step, by contestant and round. Each round begins with another contestant. */
async function takeTurns(chosen: readonly Chosen[], what: What, rounds: number): Promise<Rounds[]> {
  const all: number[][] = chosen.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (let k = 0; k < chosen.length; k++) {
      const i = (k + round) % chosen.length;
      const { contestant, steps } = chosen[i]!;
      all[i]!.push(median(await contestant.run(what, steps)));
    }
  }
  return all;
}

function perSecond(milliseconds: Rounds): number {
  return (1000 * BATCH_SIZE) / median(milliseconds);
}
