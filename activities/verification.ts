/** What a verification looked at, and what it found: a list of checks, each with its problems. */

export interface Problem {
  /** A record, a step's path, or an object. */
  readonly where: string;
  readonly what: string;
}

export interface Check {
  readonly name: string;
  /** What was counted. */
  readonly of: string;
  readonly checked: number;
  /** Read for it. */
  readonly bytes?: number;
  readonly problems: readonly Problem[];
}

export interface Verification {
  readonly run: string;
  readonly state: string;
  readonly ok: boolean;
  readonly checks: readonly Check[];
  /** What is right, but should be known. */
  readonly remarks: readonly string[];
}

/** Gathers one check. */
export class Checking {
  checked = 0;
  bytes = 0;
  readonly of: string;
  readonly problems: Problem[] = [];
  readonly name: string;

  constructor(name: string, of: string) {
    this.name = name;
    this.of = of;
  }

  problem(where: string, what: string): void {
    this.problems.push({ where, what });
  }

  /** Counts one thing, which must hold. */
  expect(holds: boolean, where: string, what: string): void {
    this.checked++;
    if (!holds) this.problem(where, what);
  }

  get result(): Check {
    return {
      name: this.name,
      of: this.of,
      checked: this.checked,
      ...(this.bytes > 0 ? { bytes: this.bytes } : {}),
      problems: this.problems,
    };
  }
}

export const proven: readonly string[] = [
  'No object that the run reaches (plan, pipeline file, data, images, labels, models, tables, report) has changed since it was written: each has the SHA-256 that names it.',
  'The plan is the one whose digest the run was created with, and each finished step had the inputs and parameters that its fingerprint says: the fingerprint was computed again from them.',
  'What a step gave is what is recorded under its fingerprint, and what it took was given by a step of the run or by the plan.',
  "Each training's hash chain is unbroken from its data and label version, through every epoch, to its model; its checkpoints are states of that chain.",
  'The ledger of each review is a chain that nothing was changed in; each decision was made once, about something that was asked, and is in the corrections that were applied.',
];

export const notProven: readonly string[] = [
  'That a step computed rightly: --recompute STEP runs it again and compares.',
  'That nobody with write access to the store replaced all of it consistently, or that a clock was right.',
  'That the labels, the data or the decisions are good.',
];
