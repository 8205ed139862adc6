/** A handler that does nothing: what is left is the way to a worker and back. */
import type { Handler } from '../../lib/thread/host.ts';

export function createHandler(): Handler<number, number> {
  return { handle: (request) => request, close: () => {} };
}
