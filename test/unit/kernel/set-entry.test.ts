/** Entries of sets: what is understood, what it becomes, and what is said of what is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgumentError } from '../../../lib/errors.ts';
import { Batch } from '../../../lib/kernel/batch.ts';
import { splitPrefix0 } from '../../../lib/kernel/set-entry.ts';
import { withoutOptions } from '../../../lib/kernel/set-options.ts';
import { isAbandonedSet, temporarySetName } from '../../../lib/kernel/temporary-set.ts';
import type { SetType } from '../../../lib/types.ts';

const set = (type: SetType) => ({ name: 'S', type, family: 'IPv4' }) as const;

function canonical(type: SetType, entry: string): unknown {
  const [operation] = new Batch().addEntry(set(type), entry);
  return operation?.verb === 'add-entry' ? operation.entry : undefined;
}

test('options are understood in any order and written in ipset’s own', () => {
  const wanted = '10.0.0.0/8 timeout 60 nomatch comment "timeout 5 nomatch"';
  for (const entry of [
    wanted,
    '10.0.0.0/8 comment "timeout 5 nomatch" nomatch timeout 60',
    '10.0.0.0/8   nomatch  timeout 060   comment "timeout 5 nomatch"',
  ])
    assert.equal(canonical('hash:net', entry), wanted);
  assert.equal(canonical('bitmap:port', '80 comment "" timeout 0'), '80 timeout 0');
  const [removed] = new Batch().removeEntry(set('hash:net'), wanted);
  assert.deepEqual(removed, { verb: 'remove-entry', set: set('hash:net'), entry: '10.0.0.0/8 nomatch' });
  assert.equal(withoutOptions(wanted, { timeouts: false, comments: false }), '10.0.0.0/8 nomatch');
  assert.equal(withoutOptions(wanted, { timeouts: true, comments: false }), '10.0.0.0/8 timeout 60 nomatch');
});

test('what is refused says what would be right', () => {
  const message = (type: SetType, entry: string): string => {
    try {
      new Batch().addEntry(set(type), entry);
    } catch (error) {
      assert.ok(error instanceof InvalidArgumentError);
      assert.equal(error.field, 'entry');
      return error.message;
    }
    return 'accepted';
  };
  assert.match(message('hash:net', '10.1.2.3/8'), /host bits: the network is 10\.0\.0\.0\/8/);
  assert.match(message('hash:ip,port,net', '10.0.0.1,tcp:80,10.9.8.7/31'), /the network is 10\.9\.8\.6\/31/);
  assert.match(message('hash:net', '0.0.0.0/0'), /0\.0\.0\.0\/1 and 128\.0\.0\.0\/1/);
  assert.match(message('hash:ip', 'fd00::1'), /the set is of family IPv4/);
  assert.match(message('hash:ip,port', '10.0.0.1,gre:80'), /PROTOCOL:PORT/);
  assert.match(message('hash:ip', '10.0.0.1 comment yes'), /double quotes/);
  assert.match(message('hash:ip', `10.0.0.1 comment "${'x'.repeat(256)}"`), /256 bytes, at most 255/);
});

test('a set is made for the entries that its batch adds, unless it says what it wants', () => {
  const plain = { ...set('hash:ip'), name: 'A' };
  const sized = { ...set('hash:ip'), name: 'B', hashSize: 64 };
  const few = { ...set('hash:ip'), name: 'C' };
  const batch = new Batch().ensureSet(plain).createSet(sized).createSet(few);
  for (let i = 0; i < 5000; i++) {
    const entry = `10.0.${i >> 8}.${i & 255}`;
    batch.addEntry(plain, entry).addEntry(sized, entry);
    if (i < 1000) batch.addEntry(few, entry);
  }
  const made = [...batch].flatMap((operation) =>
    'set' in operation && !('entry' in operation) ? [operation.set] : [],
  );
  assert.deepEqual(made, [{ ...plain, hashSize: 8192 }, sized, few]);
});

test('/0 is split into its halves, wherever it stands, and nothing else is', () => {
  assert.deepEqual(splitPrefix0('0.0.0.0/0'), ['0.0.0.0/1', '128.0.0.0/1']);
  assert.deepEqual(splitPrefix0('::/0'), ['::/1', '8000::/1']);
  assert.deepEqual(splitPrefix0('10.0.0.1,tcp:80,0.0.0.0/0 nomatch'), [
    '10.0.0.1,tcp:80,0.0.0.0/1 nomatch',
    '10.0.0.1,tcp:80,128.0.0.0/1 nomatch',
  ]);
  for (const other of ['10.0.0.0/8', '10.0.0.1', '0.0.0.0/01', '::/01', '10.0.0.0/0'])
    assert.deepEqual(splitPrefix0(other), [other]);
});

test('temporary sets are known as one’s own; those of a process that is gone as abandoned', () => {
  const name = temporarySetName();
  assert.ok(name.length <= 31, name);
  assert.notEqual(name, temporarySetName());
  assert.equal(isAbandonedSet(name), false);
  const [, , start = ''] = name.split('.');
  assert.equal(isAbandonedSet(name.replace(start, `${start}0`)), true, 'its number was given to another process');
  assert.equal(isAbandonedSet('~tmp.zzzzz.1.1.1'), true);
  assert.equal(isAbandonedSet('KUBE-CLUSTER-IP'), false);
});
