/** How far a run may grow, and where its parts become child workflows because of it. */

/** At so many events Temporal suggests that a workflow continues as new; no workflow of a run gets there. */
export const eventsMax = 4_096;

/** From so many events on the root of a run goes on in a new history as soon as no step runs. */
export const renewAfterEvents = 3_000;
/** And as soon as a workflow below it has so many, which may then need as many again to end what is in it. */
export const wornEvents = 2_000;

/** Legs' values travel together to who reads them all, and at 2 MiB Temporal refuses what travels. */
export const legsMax = 5_000;
/** Legs in a child workflow of their own. */
export const legsPerBatch = 100;

/** More legs have their batches in a workflow of their own, so that a scope may have any number of such steps. */
export const legsNested = 1_000;

export const roundsMax = 10_000;
/** A loop of more rounds has them in batches; one of fewer runs them itself. */
export const roundsInline = 20;
export const roundsPerBatch = 100;

/** Activities of steps, and those that keep the run's record, that one workflow has under way: below 500 together, as Temporal advises. */
export const stepCallsAtOnce = 400;
export const recordCallsAtOnce = 90;

/** Trials of a capacity search that Temporal is asked for at once: a few workers keep the others waiting anyway. */
export const trialsAtOnce = 100;
/** From so many events on a search begins nothing any more, and goes on in a new history once the rest has ended. */
export const searchEventsMax = 2_500;

/** Bytes of JSON that are gathered into one message: Temporal refuses 2 MiB, a single thing may be larger, and there is more around them. */
export const messageBytesMax = 1_000_000;

/** Values that steps hand on together, as JSON. Temporal refuses 2 MiB in one piece, and there is more around them. */
export const valuesBytesMax = 1_900_000;
