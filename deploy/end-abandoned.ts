/** A process of its own: ends the embedded server of the folder it is given, unless a living command uses it. */

import { endAbandonedEngine } from './embedded.ts';

await endAbandonedEngine(process.argv[2]!);
