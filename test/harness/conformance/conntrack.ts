/** Tracked connections: lists by filter, removals by tuple, and by predicate. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batch } from '../../../lib/kernel/batch.ts';
import { readAll } from '../../../lib/kernel/session.ts';
import type { Connection } from '../../../lib/types.ts';
import { allApplied, type Bed, ip, MARK, outcomes, stateOf } from './bed.ts';

const mark = { value: MARK, mask: 0xffffffff };

export function conntrackCases(bed: () => Bed): void {
  async function connected(): Promise<readonly Connection[]> {
    const { connect, session } = bed();
    await connect(ip('10.1.0.1'), ip('10.96.0.1'), 53);
    await connect(ip('10.1.0.2'), ip('10.96.0.1'), 53);
    await connect(ip('10.1.0.2'), ip('10.96.0.1'), 54);
    await connect(ip('fd01::1'), ip('fd96::1'), 53);
    return readAll(session.connections({ mark }));
  }
  const count = (): number => stateOf(bed().session).connections.length;

  test('a filter lets through what has every field of it', async () => {
    await connected();
    const { session } = bed();
    const found = (filter: object): number => readAll(session.connections({ ...filter, mark })).length;
    assert.equal(found({}), 4);
    assert.equal(found({ family: 'IPv6' }), 1);
    assert.equal(found({ protocol: 'tcp' }), 0);
    assert.equal(found({ protocol: 'udp', originalDestinationPort: 53 }), 3);
    assert.equal(found({ originalSource: ip('10.1.0.2') }), 2);
    assert.equal(found({ replySource: ip('10.96.0.1'), protocol: 'udp', replySourcePort: 54 }), 1);
    assert.equal(found({ zone: 3 }), 0);
  });

  test('removal: by the tuple of either direction, by id only that one, and what is not there is gone', async () => {
    const [first, second, third] = await connected();
    const { session } = bed();
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    allApplied(
      session,
      new Batch()
        .removeConnection(first.original, { id: (first.id ^ 1) >>> 0 })
        .removeConnection({ ...first.original, sourcePort: (first.original.sourcePort + 1) % 65536 }),
    );
    // A kernel without CONFIG_NF_CONNTRACK_ZONES has no others than zone 0, and says so.
    const elsewhere = new Batch().removeConnection(first.original, { zone: 9 });
    assert.match(outcomes(elsewhere, session.run(elsewhere)).join(), /^(applied|EOPNOTSUPP)$/);
    assert.equal(count(), 4, 'another id, zone or port is another connection');
    allApplied(
      session,
      new Batch()
        .removeConnection(first.original, { id: first.id })
        .removeConnection(second.reply)
        .removeConnection(third.original)
        .removeConnection(third.original),
    );
    assert.equal(count(), 1);
  });

  test('removal of many: those that the filter and the predicate take, as many as are allowed', async () => {
    await connected();
    const { session } = bed();
    const filter = { protocol: 'udp', originalDestinationPort: 53, mark } as const;
    const none = session.removeConnections(filter, () => false);
    assert.deepEqual([none.examined, none.removed], [3, 0]);
    const one = session.removeConnections(filter, () => true, { max: 1 });
    assert.deepEqual([one.removed, one.limited], [1, true]);
    const rest = session.removeConnections(filter, () => true);
    assert.deepEqual([rest.removed, rest.failed, rest.limited], [2, 0, false]);
    assert.equal(count(), 1);
  });
}
