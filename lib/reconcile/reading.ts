/** A read of everything that lets others have their turn between its slices, and that begins again when it was cut off. */
import { NetlinkError } from '../errors.ts';
import type { KernelSession } from '../kernel/session.ts';
import { type Observed, type ReadInit, readingKernel } from './observed.ts';

/** So often in a row: then it is no accident. */
const maxTries = 3;
/** The list was not seen to its end: too much came at once, it changed, or the module was loaded anew. */
const cutOff: ReadonlySet<string> = new Set(['ENOBUFS', 'EINTR', 'ETIMEDOUT', 'ENOENT']);

/** Half a list is never believed. Throws what the session throws. */
export async function readInTurns(
  session: KernelSession,
  init: ReadInit,
  turn: () => Promise<void>,
): Promise<Observed> {
  for (let tries = 1; ; tries += 1) {
    const reading = readingKernel(session, init);
    try {
      for (let step = reading.next(); ; step = reading.next()) {
        if (step.done === true) return step.value;
        await turn();
      }
    } catch (error) {
      if (tries >= maxTries || !(error instanceof NetlinkError) || !cutOff.has(error.errnoName)) throw error;
    }
  }
}
