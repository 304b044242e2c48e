/** What a report is made from, and what it consists of before it is drawn. */

import type {
  Coercions,
  Corrections,
  Curves,
  Forgetting,
  Metrics,
  Planted,
  Profile,
  Quarantined,
  Trials,
} from '../artifacts/types.ts';
import type { Dynamics } from '../detection/dynamics.ts';
import type { OperationRecord, RunHeader, RunState, StepRecord } from '../plan/types.ts';

/** An artifact with the path of the step that made it. */
export interface Made<T> {
  readonly path: string;
  readonly value: T;
}

/** A box with what is around it, as a small square picture. */
export interface BoxPicture {
  readonly annotationId: string;
  readonly imageId: number;
  /** The picture as a `data:` address. */
  readonly data: string;
  /** Pixels of its side. */
  readonly side: number;
  /** xyxy in the picture. */
  readonly box: readonly [number, number, number, number];
}

/** Everything the run left behind, as loaded from its record. */
export interface ReportInput {
  readonly title: string;
  readonly header: RunHeader;
  readonly state: RunState;
  /** In order of their start. */
  readonly steps: readonly StepRecord[];
  /** What people asked of the run while it went on, oldest first. */
  readonly operations: readonly OperationRecord[];
  readonly metrics: readonly Made<Metrics>[];
  readonly trials: readonly Made<Trials>[];
  readonly curves: readonly Made<Curves>[];
  readonly profiles: readonly Made<Profile>[];
  readonly forgetting: readonly Made<Forgetting>[];
  readonly dynamics: readonly Made<Dynamics>[];
  readonly quarantined: readonly Made<Quarantined>[];
  /** Of boxes that the last quarantine holds, those of the highest late loss first. */
  readonly heldPictures: readonly BoxPicture[];
  readonly corrections: readonly Made<Corrections>[];
  readonly planted: readonly Made<Planted>[];
  readonly coercions: readonly Made<Coercions>[];
  /** The pipeline file's text. */
  readonly source: string;
  /** When the report is made (ISO 8601). */
  readonly now: string;
}

/** A table cell: text, and whether it is set back (validation, which choices were made on). */
export interface Cell {
  readonly text: string;
  readonly grey?: boolean;
  readonly strong?: boolean;
}

export interface Table {
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** A figure as SVG text, with its numbers in a table for those who cannot see it. */
export interface Figure {
  readonly caption: string;
  readonly svg: string;
}

export type Block =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'list'; readonly items: readonly string[] }
  | { readonly type: 'table'; readonly table: Table }
  | { readonly type: 'figure'; readonly figure: Figure }
  | { readonly type: 'code'; readonly text: string };

export interface Section {
  readonly id: string;
  readonly title: string;
  readonly blocks: readonly Block[];
}

export interface Report {
  readonly title: string;
  readonly subtitle: string;
  /** The answer in words: what was gained, against what, and whether it can be told from noise. */
  readonly summary: readonly string[];
  readonly sections: readonly Section[];
}
