/** A reconciler that answers as told, for tests of who asks what and when. */
import { ProxierError } from '../../../lib/errors.ts';
import type { ReconcileHost } from '../../../lib/proxier/pump.ts';
import type { ReconcileReply, ReconcileRequest, SyncReport } from '../../../lib/reconcile/protocol.ts';

export const emptyReport: SyncReport = {
  kind: 'incremental',
  revision: 0,
  operations: 0,
  byVerb: {},
  rulesWritten: 0,
  sysctlsWritten: 0,
  failures: [],
  unknown: 0,
  roundTrips: 0,
  planMicros: 0,
  kernelMicros: 0,
  services: 0,
  destinations: 0,
  draining: 0,
  foreign: 0,
  contested: 0,
  complete: true,
};

export const emptyReply: ReconcileReply = { events: [], revision: 0 };

export class ScriptedHost implements ReconcileHost {
  readonly requests: ReconcileRequest[] = [];
  epoch = 1;
  closed = false;
  /** Requests that were begun and not answered. */
  inFlight = 0;
  answer: (request: ReconcileRequest) => ReconcileReply | Promise<ReconcileReply> = () => emptyReply;

  async call(request: ReconcileRequest): Promise<ReconcileReply> {
    if (this.closed) throw new ProxierError('ERR_CLOSED', 'the host is closed');
    this.requests.push(request);
    this.inFlight += 1;
    try {
      return await this.answer(request);
    } finally {
      this.inFlight -= 1;
    }
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** Kinds of the requests so far, and forgets them. */
  taken(): string[] {
    return this.requests.splice(0).map(({ kind }) => kind);
  }
}

/** A promise and its ends. */
export interface Gate {
  readonly promise: Promise<void>;
  open(): void;
}

export function gate(): Gate {
  let open = (): void => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}
