/** The JSON that server and page exchange. Programs may rely on it: docs/review-page.md describes every field. */

import type { Box, CandidateType, Category, Decision, Split } from '../detection/types.ts';
import type { Answer, Form } from '../plan/form.ts';
import type { Json } from '../plan/types.ts';

/** A viewer looks, a reviewer decides, a lead also sees who decided what. */
export type Role = 'viewer' | 'reviewer' | 'lead';

/** GET /api/session */
export interface SessionJson {
  readonly name: string;
  readonly role: Role;
  /** The run that the page was opened for; absent: all that wait. */
  readonly run?: string;
}

/** GET /api/gates: an array, the gate that opened first in front. */
export interface GateSummary {
  readonly run: string;
  readonly gate: string;
  readonly pipeline: string;
  readonly state: 'open' | 'closed';
  readonly openedAt: string;
  readonly expiresAt?: string;
  /** Why it was closed: decided, expired, cancelled. */
  readonly reason?: string;
  readonly asked: number;
  readonly decided: number;
  /** Decided in an earlier round or run, and not asked again. */
  readonly carriedOver: number;
  /** Undecided candidates by type. */
  readonly undecided: { readonly [type in CandidateType]?: number };
  /** Label errors that are expected among the undecided: the sum of their chances; absent where those are not known. */
  readonly errorsLeft?: number;
  /** Undecided candidates that wait for you: without those where it is the turn of others. */
  readonly yours: number;
  /** Undecided candidates about which people do not agree; absent where there are none. */
  readonly toSettle?: number;
  /** Who settles those; absent: anybody who gave no opinion on them. */
  readonly adjudicators?: readonly string[];
  /** Who decided how many here, the busiest first. */
  readonly reviewers: readonly { readonly name: string; readonly decided: number }[];
}

/** GET /api/runs/RUN/gates/GATE */
export interface GateJson extends GateSummary {
  readonly categories: readonly Category[];
  /** Digest of the list of candidates: what a decision is about. */
  readonly shown: string;
}

export interface ImageJson {
  readonly id: number;
  readonly fileName: string;
  readonly width: number;
  readonly height: number;
  readonly split: Split;
  readonly digest: string;
}

export interface BoxJson {
  readonly categoryId: number;
  /** xyxy, pixels of the image. */
  readonly box: Box;
}

export interface DrawnBoxJson extends BoxJson {
  readonly id: string;
}

export interface CandidateJson {
  readonly id: string;
  readonly type: CandidateType;
  readonly rank: number;
  /** Candidates with the same mistake in other images, to be decided at once. */
  readonly cluster?: string;
  readonly iou?: number;
  readonly image: ImageJson;
  /** The surroundings that its crop shows, in whole pixels of the image. */
  readonly crop: Box;
  readonly label?: BoxJson;
  readonly detection?: BoxJson & { readonly score: number };
  /** The model's box is hidden: there is nothing to accept, and `reject` says that the labels are right as they are. */
  readonly blind?: true;
  /** The image's other labels. */
  readonly others: readonly BoxJson[];
  /** Opinions that do not agree, where you are the one to settle it: your decision says `settles`. */
  readonly opinions?: readonly Pick<Decision, 'verdict' | 'box' | 'categoryId' | 'reason'>[];
  /** Digest of all this; goes into the ledger with the decision. */
  readonly saw: string;
  /** Boxes that reviewers drew in the image where nobody asked. */
  readonly drawn: readonly DrawnBoxJson[];
  readonly decision?: Decision & { readonly by: string; readonly at: string };
}

/** POST …/preview */
export interface PreviewRequest {
  /** What is decided and not sent yet, to be seen on top of what the run has. */
  readonly decisions?: readonly Decision[];
}

/** The answer; null where there is nothing to measure by. */
export interface PreviewJson {
  readonly split: 'val';
  readonly images: number;
  /** Candidates in these images. */
  readonly questions: number;
  /** Of the model that was mined with, at the labels as they were and as decided so far: 0..1, -1 where no box is labelled. */
  readonly AP: { readonly before: number; readonly now: number };
  readonly AP50: { readonly before: number; readonly now: number };
  /** How much AP is expected to rise if the rest were decided too, and at most; absent where the candidates have no chances. */
  readonly gainLeft?: {
    readonly value: number /** Null before enough is decided to tell. */;
    readonly high: number | null;
  };
}

/** POST …/leases: "give me what is next, and keep mine from others". */
export interface LeaseRequest {
  /** Names a tab of a browser; two tabs of one person do not get the same candidates. */
  readonly client: string;
  /** Ids that the client still works on: their leases begin anew. */
  readonly keep: readonly string[];
  readonly count: number;
  /** Only candidates of this cluster. */
  readonly cluster?: string;
}

export interface LeaseAnswer {
  readonly candidates: readonly CandidateJson[];
  readonly progress: GateSummary;
  /** Undecided candidates that others have at the moment. */
  readonly elsewhere: number;
  /** Those of `keep` that are decided by now, by whomever, or about which it is the turn of others. */
  readonly decided: readonly string[];
}

/** POST …/decisions */
export interface DecisionsRequest {
  /** Chosen by the sender; the same batch sent twice counts once. */
  readonly batch: string;
  readonly decisions: readonly Decision[];
}

export interface DecisionOutcome {
  readonly candidateId: string;
  readonly outcome: 'accepted' | 'repeated' | 'refused';
  readonly why?: string;
}

export interface DecisionsAnswer {
  readonly outcomes: readonly DecisionOutcome[];
  readonly progress: GateSummary;
  /** The command that lets the run go on, where nothing runs it now. */
  readonly goOn?: string;
}

/** GET /api/approvals: those that wait, as an array; GET /api/runs/RUN/approvals/GATE: one. */
export interface ApprovalJson {
  readonly run: string;
  readonly gate: string;
  readonly state: 'open' | 'answered' | 'expired' | 'closed';
  readonly openedAt: string;
  readonly expiresAt?: string;
  /** What follows at `expiresAt`. */
  readonly expired?: 'hold' | 'fail' | Answer;
  readonly message: string;
  readonly form: Form;
  readonly show?: { readonly [name: string]: Json };
  readonly assignees?: readonly string[];
  readonly given?: { readonly answer: Answer; readonly by: string; readonly at: string };
  /** Whether the one who asks may answer. */
  readonly mine: boolean;
}

/** POST /api/runs/RUN/approvals/GATE/answer; the answer is `{accepted, goOn?}`. */
export interface ApprovalAnswerRequest {
  readonly answer: { readonly [field: string]: Json };
  readonly reason?: string;
}

/** Every answer with a status of 400 and above. */
export interface ProblemJson {
  readonly error: string;
}
