/** The handler that the conformance tests run: it keeps a journal of what reached it, in order. */
import { once } from 'node:events';
import { InvalidArgumentError, NetlinkError } from '../../../lib/errors.ts';
import type { Handler } from '../../../lib/thread/host.ts';

export interface JournalInit {
  readonly name: string;
  /** Fails to be made at all. */
  readonly broken?: boolean;
  /** Tells that `close` ran, from whichever thread. */
  readonly closed: SharedArrayBuffer;
}

export type JournalRequest =
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** Notes at once, answers when the gate is opened by a later request. */
  | { readonly kind: 'wait'; readonly text: string }
  | { readonly kind: 'openGate' }
  | { readonly kind: 'netlinkError' }
  | { readonly kind: 'argumentError' }
  | { readonly kind: 'plainError' }
  /** Ends the worker thread (and only that: never sent to the inline host). */
  | { readonly kind: 'exit' }
  | { readonly kind: 'uncaught' };

export interface JournalReply {
  readonly name: string;
  readonly journal: readonly string[];
}

export function createHandler(init: JournalInit): Handler<JournalRequest, JournalReply> {
  if (init.broken === true) throw new InvalidArgumentError('init.broken', 'must be false');
  const journal: string[] = [];
  const gate = new EventTarget();
  const reply = (): JournalReply => ({ name: init.name, journal });
  return {
    handle(request) {
      switch (request.kind) {
        case 'note':
          journal.push(request.text);
          return reply();
        case 'bytes':
          journal.push(`${request.bytes.length} bytes, the last is ${request.bytes.at(-1)}`);
          return reply();
        case 'wait':
          journal.push(request.text);
          return once(gate, 'open').then(reply);
        case 'openGate':
          gate.dispatchEvent(new Event('open'));
          return reply();
        case 'netlinkError':
          throw new NetlinkError('ERR_NETLINK', {
            errno: 3,
            errnoName: 'ESRCH',
            command: 'IPVS_CMD_DEL_SERVICE',
            object: 'tcp 10.96.0.10:80',
            reason: 'no such service',
          });
        case 'argumentError':
          throw new InvalidArgumentError('port', 'must be 1..65535');
        case 'plainError':
          throw new TypeError('a bug');
        case 'exit':
          process.exit(7);
          return reply();
        case 'uncaught':
          setImmediate(() => {
            throw new Error('thrown where nobody catches');
          });
          return new Promise(() => {});
      }
    },
    close() {
      Atomics.add(new Int32Array(init.closed), 0, 1);
    },
  };
}
