/** `hardcase review audit`: whether the ledger of a run's decisions is as it was written. */

import colours from 'picocolors';
import { type BrokenLink, brokenLink, type ChainTip, tipOf } from '../artifacts/decision-chain.ts';
import { type GateRecord, listGates, readBatches } from '../artifacts/gate-record.ts';
import type { Store } from '../artifacts/store.ts';
import { readGateView } from '../review/gate-view.ts';
import { questionFor } from '../review/question.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { type ExitCode, exitCodes, note, print, printJson } from './output.ts';
import type { Settings } from './settings.ts';

interface AuditedGate {
  readonly gate: string;
  readonly tip: ChainTip;
  readonly decisions: number;
  readonly reviewers: readonly string[];
  /** Decisions that do not say what was shown. */
  readonly withoutShown: number;
  /** Decisions about something else than this gate shows, by the digest of what was on the screen. */
  readonly sawOther: number;
  readonly broken: BrokenLink | null;
}

export async function runReviewAudit(
  settings: Settings,
  runName: string,
  options: { readonly json?: boolean },
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { run } = (await findRun(store, runName)).header;
  const gates = await auditRun(store, run);
  const isWhole = gates.every(({ broken }) => broken === null);
  if (options.json) {
    printJson({ run, ok: isWhole, gates });
    return isWhole ? exitCodes.done : exitCodes.input;
  }
  if (gates.length === 0) print(`No gate of ${run} has opened.`);
  for (const { gate, tip, decisions, reviewers, withoutShown, sawOther, broken } of gates) {
    print(
      `${colours.bold(`${run} ${gate}`)}: ${broken === null ? 'whole' : colours.red('broken')}, ${tip.batches} batches, ${decisions} decisions by ${reviewers.join(', ') || 'nobody'}`,
    );
    if (withoutShown > 0) print(`  ${withoutShown} decisions do not say what was shown`);
    if (sawOther > 0) {
      print(`  ${sawOther} decisions were made about something else than this release shows of the same candidates`);
    }
    print(`  newest hash ${tip.hash}`);
    if (broken !== null) note(`Batch ${broken.sequence} of ${gate} (${broken.key}): ${broken.what}`);
  }
  return isWhole ? exitCodes.done : exitCodes.input;
}

export async function auditRun(store: Store, run: string): Promise<AuditedGate[]> {
  const audited: AuditedGate[] = [];
  for (const gate of await listGates(store, run)) {
    const { path, ledger } = gate;
    const batches = await readBatches(store, run, path);
    const decisions = batches.flatMap(({ batch }) => batch.decisions.map(() => batch));
    audited.push({
      gate: path,
      tip: tipOf(run, path, batches),
      decisions: decisions.length,
      reviewers: [...new Set(decisions.map(({ by }) => by))].sort(),
      withoutShown: decisions.filter(({ shown }) => shown === undefined).length,
      sawOther: batches.some(({ batch }) => batch.decisions.some(({ saw }) => saw !== undefined))
        ? await countSawOther(store, run, gate)
        : 0,
      broken: brokenLink(run, path, batches, ledger),
    });
  }
  return audited;
}

/** What was on the screen is made again from the gate, its dataset and what others had said. */
async function countSawOther(store: Store, run: string, gate: GateRecord): Promise<number> {
  const view = await readGateView(store, run, gate);
  let count = 0;
  for (const candidate of view.candidates) {
    const image = view.image(candidate);
    const said = view.standings.said(candidate.id).filter(({ saw }) => saw !== undefined);
    if (said.length === 0 || image === undefined) continue;
    const opinions = view.standings.of(candidate.id)!.said;
    const digestFor = (settles: boolean) =>
      questionFor(candidate, image, view.labels(image.id), settles ? opinions : null, view.rules.isBlind(candidate.id))
        .saw;
    count += said.filter(({ saw, settles = false }) => saw !== digestFor(settles)).length;
  }
  return count;
}
