/** How far a run may grow, and where its parts become child workflows because of it. */

/** At so many events Temporal suggests that a workflow continues as new; no workflow of a run gets there. */
export const eventsMax = 4_096;

/** Legs' values travel together to who reads them all, and at 2 MiB Temporal refuses what travels. */
export const legsMax = 5_000;
/** Legs in a child workflow of their own. */
export const legsPerBatch = 100;

export const roundsMax = 10_000;
/** A loop of more rounds has them in batches; one of fewer runs them itself. */
export const roundsInline = 20;
export const roundsPerBatch = 100;
