/** One contract, two hosts: everything here runs on a piscina worker and on the inline twin. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InvalidArgumentError, NetlinkError, ProxierError } from '../../../lib/errors.ts';
import type { Host, HostOptions } from '../../../lib/thread/host.ts';
import { openInlineHost } from '../../../lib/thread/inline-host.ts';
import { openPiscinaHost } from '../../../lib/thread/piscina-host.ts';
import { createHandler, type JournalInit, type JournalReply, type JournalRequest } from './journal-handler.ts';

type JournalHost = Host<JournalRequest, JournalReply>;

interface Kind {
  readonly name: string;
  open(init: JournalInit, options?: HostOptions): Promise<JournalHost>;
  /** Makes the state of the handler be lost, while a request may be in flight. */
  kill(host: JournalHost): Promise<void>;
}

const losers = new WeakMap<JournalHost, () => void>();
const kinds: readonly Kind[] = [
  {
    name: 'piscina host',
    open: (init, options) => openPiscinaHost(new URL('./journal-handler.js', import.meta.url), init, options),
    kill: (host) => assert.rejects(host.call({ kind: 'exit' }), { code: 'ERR_WORKER' }),
  },
  {
    name: 'inline host',
    async open(init, options) {
      const host = await openInlineHost({ createHandler }, init, options);
      losers.set(host, () => host.lose());
      return host;
    },
    async kill(host) {
      losers.get(host)?.();
    },
  },
];

const newInit = (): JournalInit => ({ name: 'one', closed: new SharedArrayBuffer(4) });
const closedTimes = (init: JournalInit): number => Atomics.load(new Int32Array(init.closed), 0);
const note = (text: string): JournalRequest => ({ kind: 'note', text });

for (const kind of kinds) {
  describe(kind.name, () => {
    test('requests reach the handler in the order of the calls, and an answer that waits holds up nobody', async () => {
      const host = await kind.open(newInit());
      const waiting = host.call({ kind: 'wait', text: 'wait' });
      const texts = Array.from({ length: 200 }, (_, index) => `note ${index}`);
      const replies = await Promise.all(texts.map((text) => host.call(note(text))));
      assert.deepEqual(replies.at(-1), { name: 'one', journal: ['wait', ...texts] });
      await host.call({ kind: 'openGate' });
      assert.equal((await waiting).journal.length, 201);
      await host.close();
    });

    test('what is transferred arrives whole and is empty here; what is not is copied', async () => {
      const host = await kind.open(newInit());
      const moved = new Uint8Array(70_000).fill(1);
      const copied = new Uint8Array(70_000).fill(2);
      const calls = [
        host.call({ kind: 'bytes', bytes: moved }, [moved.buffer]),
        host.call({ kind: 'bytes', bytes: copied }),
      ];
      const replies = await Promise.all(calls);
      assert.deepEqual(replies.at(-1)?.journal, ['70000 bytes, the last is 1', '70000 bytes, the last is 2']);
      assert.deepEqual([moved.length, copied.length], [0, 70_000]);
      await host.close();
    });

    test('errors keep class, code and fields', async () => {
      const host = await kind.open(newInit());
      await assert.rejects(host.call({ kind: 'netlinkError' }), (error) => {
        assert.ok(error instanceof NetlinkError);
        assert.equal(error.errnoName, 'ESRCH');
        assert.equal(error.object, 'tcp 10.96.0.10:80');
        return true;
      });
      await assert.rejects(host.call({ kind: 'argumentError' }), (error) => {
        assert.ok(error instanceof InvalidArgumentError);
        assert.equal(error.field, 'port');
        assert.equal(error.message, 'port: must be 1..65535');
        return true;
      });
      await assert.rejects(host.call({ kind: 'plainError' }), (error) => {
        assert.ok(error instanceof ProxierError);
        assert.equal(error.code, 'ERR_WORKER');
        assert.match(error.message, /a bug/);
        return true;
      });
      assert.deepEqual((await host.call(note('still here'))).journal, ['still here']);
      await host.close();
    });

    test('a handler that cannot be made rejects the opening with its own error', async () => {
      await assert.rejects(kind.open({ ...newInit(), broken: true }), (error) => {
        assert.ok(error instanceof InvalidArgumentError);
        assert.equal(error.field, 'init.broken');
        return true;
      });
    });

    test('lost state: told first, then calls in flight reject, the next call finds a fresh handler', async () => {
      const log: string[] = [];
      const host = await kind.open(newInit(), { onRestart: (epoch) => log.push(`restart ${epoch}`) });
      assert.equal(host.epoch, 1);
      await host.call(note('before'));
      const inFlight = host.call({ kind: 'wait', text: 'waits for ever' }).catch((error: unknown) => {
        assert.ok(error instanceof ProxierError);
        log.push(error.code);
      });
      await kind.kill(host);
      await inFlight;
      assert.deepEqual(log, ['restart 2', 'ERR_WORKER']);
      assert.equal(host.epoch, 2);
      assert.deepEqual((await host.call(note('after'))).journal, ['after']);
      await kind.kill(host);
      assert.deepEqual((await host.call(note('third'))).journal, ['third']);
      assert.equal(host.epoch, 3);
      await host.close();
    });

    test('close lets the running request end, closes the handler once, and refuses later calls', async () => {
      const init = newInit();
      const host = await kind.open(init);
      const running = host.call({ kind: 'wait', text: 'running' });
      const opening = host.call({ kind: 'openGate' });
      const closing = host.close();
      await assert.rejects(host.call(note('late')), { code: 'ERR_CLOSED' });
      await Promise.all([closing, host.close()]);
      assert.deepEqual((await running).journal, ['running']);
      await opening;
      await host.close();
      assert.equal(closedTimes(init), 1);
    });

    test('close gives up on a request that never ends', async () => {
      const init = newInit();
      const host = await kind.open(init, { closeTimeoutMs: 500 });
      const stuck = assert.rejects(host.call({ kind: 'wait', text: 'stuck' }), { code: 'ERR_CLOSED' });
      await host.close();
      await stuck;
      assert.equal(closedTimes(init), 1, 'the handler was closed all the same: it may have started what outlives it');
    });
  });
}

test('piscina host: an error nobody catches in the worker is a restart, not a crash of the process', async () => {
  const restarts: number[] = [];
  const host = await openPiscinaHost<JournalInit, JournalRequest, JournalReply>(
    new URL('./journal-handler.js', import.meta.url),
    newInit(),
    { onRestart: (epoch) => restarts.push(epoch) },
  );
  await assert.rejects(host.call({ kind: 'uncaught' }), { code: 'ERR_WORKER' });
  assert.deepEqual(restarts, [2]);
  assert.deepEqual((await host.call(note('after'))).journal, ['after']);
  await host.close();
});

test('piscina host: a module that is none names itself', async () => {
  await assert.rejects(openPiscinaHost(new URL('./host.js', import.meta.url), {}), { code: 'ERR_WORKER' });
});
