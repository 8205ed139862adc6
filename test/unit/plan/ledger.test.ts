/** design.md, 'Whose is it: the kernel is the ledger'. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ledger, ownershipOf } from '../../../lib/plan/ledger.ts';
import { tupleSetIds } from '../../../lib/plan/sets.ts';
import type { Protocol } from '../../../lib/types.ts';
import { ip } from '../../harness/records.ts';

const empty: Ledger = { sets: new Map(), vipAddresses: new Set(), interfaceAddresses: new Set([ip('192.168.1.10')]) };

function owner(address: string, port: number, ledger: Partial<Ledger>, protocol: Protocol = 'tcp'): string {
  return ownershipOf({ protocol, address: ip(address), port }, { ...empty, ...ledger });
}

function sets(name: string, ...entries: string[]): Partial<Ledger> {
  return { sets: new Map([[name, new Set(entries)]]) };
}

test('a tuple in any tuple set of the family makes a virtual service ours, to the port and protocol', () => {
  for (const id of tupleSetIds) {
    const ledger = sets(`KUBE-${id}`, '10.96.0.10,tcp:80');
    assert.equal(owner('10.96.0.10', 80, ledger), 'ours');
    assert.equal(owner('10.96.0.10', 81, ledger), 'foreign');
    assert.equal(owner('10.96.0.10', 80, ledger, 'udp'), 'foreign');
  }
  assert.equal(owner('fd00::1', 80, sets('KUBE-6-CLUSTER-IP', 'fd00::1,tcp:80')), 'ours');
  assert.equal(owner('10.96.0.10', 80, sets('KUBE-LOOP-BACK', '10.96.0.10,tcp:80')), 'foreign');
});

test('an address bound on our device makes all its virtual services ours', () => {
  assert.equal(owner('10.96.0.10', 9, { vipAddresses: new Set([ip('10.96.0.10')]) }), 'ours');
});

test('a node port is ours by port and protocol on an address that is on an interface now', () => {
  assert.equal(owner('192.168.1.10', 30080, sets('KUBE-NODE-PORT-TCP', '30080')), 'ours');
  assert.equal(owner('192.168.1.10', 30080, sets('KUBE-NODE-PORT-TCP', '30080'), 'udp'), 'foreign');
  assert.equal(owner('192.168.1.99', 30080, sets('KUBE-NODE-PORT-TCP', '30080')), 'foreign');
  assert.equal(owner('192.168.1.10', 30053, sets('KUBE-NODE-PORT-LOCAL-UDP', '30053'), 'udp'), 'ours');
  assert.equal(owner('192.168.1.10', 36, sets('KUBE-NODE-PORT-SCTP-HASH', '192.168.1.10,sctp:36'), 'sctp'), 'ours');
});

test('everything else is foreign, firewall marks always', () => {
  assert.equal(owner('192.168.1.10', 80, {}), 'foreign');
  assert.equal(ownershipOf({ fwmark: 1, family: 'IPv4' }, empty), 'foreign');
});
