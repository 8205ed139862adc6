/** A history of a node: lived through, brought to rest, and compared with a node on which nothing but its end ever happened. */
import assert from 'node:assert/strict';
import type { Operation } from '../../../lib/operations.ts';
import { tableDifference } from '../../harness/tables.ts';
import type { History } from '../arbitrary-history.ts';
import { Events, type World } from '../events.ts';
import { isForeign } from '../foreign.ts';
import { idealOf, withoutLeftBehind } from '../ideal.ts';
import { Machine } from '../machine.ts';
import { happen, loadIpvs, setAddresses } from './happen.ts';

/** What took place in all histories so far: so that they are about something. */
export const seen = { histories: 0, workersDied: 0, processesDied: 0, operations: 0, services: 0 };

export async function holds(history: History): Promise<void> {
  const machine = new Machine(history.options);
  const { kernel, troubles } = machine;
  kernel.afterEach = (operation) => {
    if (!isOurs(operation)) troubles.push(`not ours: ${JSON.stringify(operation)}`);
  };
  for (const event of history.before) if (event.kind !== 'nodeAddresses') machine.cluster.say(event);
  machine.start();
  await machine.pass(0);
  const events = new Events(worldOf(machine), history.options.ownership === 'ledger');
  for (const what of history.steps) {
    const logged = kernel.log.length;
    const sinceMs = machine.clock.nowMs();
    await events.take(what);
    checkPace(kernel.log.slice(logged), machine.clock.nowMs() - sinceMs, troubles);
  }
  await events.rest();
  assert.deepEqual(troubles, []);
  assert.ok(machine.handle !== undefined, 'a proxier is at work');
  const ideal = await idealOf(machine, history.options);
  const wanted = await textOf(ideal);
  const found = await textOf(machine);
  assert.deepEqual(tableDifference(wanted, withoutLeftBehind(found.split('\n'), wanted.split('\n')).join('\n')), []);
  const { operations, failures, rulesWritten, sysctlsWritten } = await machine.handle.resync();
  assert.deepEqual({ operations, failures, rulesWritten, sysctlsWritten }, nothing);
  await machine.pass(0);
  assert.equal(machine.unanswered, 0, 'requests without an answer');
  await machine.end();
  seen.histories += 1;
  seen.workersDied += machine.deaths.worker;
  seen.processesDied += machine.deaths.process;
  seen.operations += kernel.log.length;
  seen.services += kernel.outside.services.size;
}

const nothing = { operations: 0, failures: [], rulesWritten: 0, sysctlsWritten: 0 };

function worldOf(machine: Machine): World {
  const { kernel, others } = machine;
  return {
    machine,
    happen: (what) => happen(machine, what),
    setAddresses: (addresses) => {
      for (const one of [kernel, others]) setAddresses(one, addresses);
    },
    heal: () => {
      kernel.heal();
      loadIpvs(machine);
    },
    endConnections: () => {
      for (const { destinations } of kernel.outside.services.values())
        for (const [id, state] of destinations)
          destinations.set(id, { ...state, activeConnections: 0, inactiveConnections: 0 });
    },
  };
}

/** What has to wait between two tries cannot have been tried more often. */
function checkPace(log: readonly string[], ms: number, troubles: string[]): void {
  const most = 40 + ms / 250;
  const counts = new Map<string, number>();
  for (const line of log) counts.set(line, (counts.get(line) ?? 0) + 1);
  for (const [line, count] of counts) if (count > most) troubles.push(`${count} times within ${ms} ms: ${line}`);
}

function isOurs(operation: Operation): boolean {
  if ('set' in operation) return operation.set.name.startsWith('KUBE-');
  if ('name' in operation) return operation.name.startsWith('KUBE-') || operation.name === 'kube-ipvs0';
  const key = 'key' in operation ? operation.key : 'service' in operation ? operation.service.key : undefined;
  if (key !== undefined) return 'address' in key && !isForeign(key.address);
  if (operation.verb === 'remove-address') return operation.link === 'kube-ipvs0';
  if ('address' in operation) return operation.address.link === 'kube-ipvs0';
  return true;
}

async function textOf({ kernel, iptables, sysctls }: Machine): Promise<string> {
  const rules = [await iptables.save('IPv4'), await iptables.save('IPv6')];
  return [kernel.dump(), ...rules, ...[...sysctls.values].map((pair) => pair.join(' = ')).sort()].join('\n');
}
