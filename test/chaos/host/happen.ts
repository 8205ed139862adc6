/** How the steps of a history happen on the node in memory. */
import { familyOf } from '../../../lib/address.ts';
import type { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import { FakeSysctls } from '../../../lib/testing/fake-sysctls.ts';
import type { IpFamily } from '../../../lib/types.ts';
import { ip } from '../../harness/records.ts';
import { changeForeign, isForeign } from '../foreign.ts';
import type { Machine } from '../machine.ts';
import type { Step } from '../steps.ts';

const reads = ['services', 'destinations', 'sets', 'entries', 'links', 'addresses', 'localRoutes'] as const;

/** Carries it out, but for deaths, time and objects. What others have of their own is the same in `machine.others`. */
export function happen(machine: Machine, what: Step): void {
  const { kernel, iptables, sysctls, clock } = machine;
  const { outside } = kernel;
  switch (what.kind) {
    case 'clearIpvs':
      for (const { outside } of [kernel, machine.others]) outside.services.clear();
      return;
    case 'reloadIpvs':
      kernel.unloadIpvs();
      machine.others.outside.services.clear();
      for (const key of [...sysctls.values.keys()]) if (key.startsWith('net/ipv4/vs/')) sysctls.values.delete(key);
      clock.after(what.ms, () => loadIpvs(machine));
      return;
    case 'set':
      harmSet(machine, what.how, what.pick);
      return;
    case 'link':
      harmLink(machine, what.how, what.pick);
      return;
    case 'entry': {
      const set = one([...outside.sets.values()].filter(isOurs), what.pick);
      const entry = one([...(set?.entries ?? [])], what.pick);
      if (what.how === 'add') outside.sets.get('KUBE-IPVS-IPS')?.entries.add('10.66.0.1');
      else if (set !== undefined && entry !== undefined) set.entries.delete(entry);
      return;
    }
    case 'service':
      harmService(machine, what.how, what.pick);
      return;
    case 'rules':
      flushRules(machine, what.family);
      return;
    case 'unanswered': {
      let skip = what.skip;
      kernel.failNext(
        () => {
          skip -= 1;
          return skip < 0;
        },
        what.how,
        what.times,
      );
      return;
    }
    case 'refused': {
      const untilMs = clock.nowMs() + what.ms;
      let count = 0;
      kernel.failNext(
        () => {
          count += 1;
          return clock.nowMs() < untilMs && count % what.oneIn === 0;
        },
        what.errno,
        Number.POSITIVE_INFINITY,
      );
      return;
    }
    case 'unreadable':
      for (const read of reads) kernel.failRead(read, what.errno, what.times);
      return;
    case 'overflow':
      machine.overflow();
      return;
    case 'rulesFail':
      iptables.failNext(what.call, what.times);
      return;
    case 'drain':
      drain(machine, what.address, what.timeoutMs, what.undoneInMs);
      return;
    case 'connections': {
      const all = [...outside.services].flatMap(([service, { destinations }]) =>
        [...destinations.keys()].map((destination) => [service, destination] as const),
      );
      const [service, destination] = one(all, what.pick) ?? [];
      if (service !== undefined && destination !== undefined)
        kernel.setConnections(service, destination, what.count, 0);
      return;
    }
    case 'foreign':
      for (const operation of changeForeign(machine.others.outside, what.what, what.number)) outside.apply(operation);
      return;
    case 'ask':
      machine.ask((handle) => handle[what.what]());
      return;
  }
}

function one<T>(all: readonly T[], pick: number): T | undefined {
  return all[pick % Math.max(1, all.length)];
}

export function loadIpvs({ kernel, sysctls }: Machine): void {
  kernel.loadIpvs();
  for (const [key, value] of new FakeSysctls().values) {
    if (key.startsWith('net/ipv4/vs/') && !sysctls.values.has(key)) sysctls.values.set(key, value);
  }
}

const isOurs = ({ spec: { name } }: { readonly spec: { readonly name: string } }): boolean => name.startsWith('KUBE-');

/** Whoever destroys a set has to take the rules away first that refer to it. */
function harmSet(machine: Machine, how: 'flush' | 'destroy' | 'retype', pick: number): void {
  const { sets } = machine.kernel.outside;
  const set = one([...sets.values()].filter(isOurs), pick);
  if (set === undefined) return;
  const { name } = set.spec;
  if (how === 'flush') {
    set.entries.clear();
    return;
  }
  for (const family of ['IPv4', 'IPv6'] as const) flushRules(machine, family);
  sets.delete(name);
  if (how === 'retype')
    machine.kernel.outside.apply({ verb: 'create-set', set: { name, type: 'hash:net', family: 'IPv4' } });
}

/** As `iptables -F` does it to the chains that matter. */
export function flushRules({ iptables }: Machine, family: IpFamily): void {
  const chains = { nat: ['KUBE-SERVICES', 'KUBE-POSTROUTING', 'PREROUTING'], filter: ['KUBE-FORWARD', 'FORWARD'] };
  const text = Object.entries(chains).map(([table, names]) => `*${table}\n${names.map(emptied).join('')}COMMIT\n`);
  iptables.outside(family, text.join(''));
}

function emptied(chain: string): string {
  return `:${chain} - [0:0]\n`;
}

function harmLink(machine: Machine, how: 'remove' | 'replace' | 'unbind' | 'bind', pick: number): void {
  const { outside } = machine.kernel;
  if (how === 'remove' || how === 'replace') outside.removeLink('kube-ipvs0');
  if (how === 'replace') outside.addLink('kube-ipvs0', 'dummy', false);
  if (how === 'bind') {
    const address = { link: 'kube-ipvs0', address: ip('10.66.0.1'), prefixLength: 32 };
    outside.apply({ verb: 'add-address', address });
  }
  const bound = one(
    [...outside.addresses.values()].filter(({ link }) => link === 'kube-ipvs0'),
    pick,
  );
  if (how === 'unbind' && bound !== undefined) {
    outside.apply({
      verb: 'remove-address',
      link: bound.link,
      address: bound.address,
      prefixLength: bound.prefixLength,
    });
  }
}

function harmService(machine: Machine, how: 'remove' | 'edit' | 'empty' | 'extra', pick: number): void {
  const { outside } = machine.kernel;
  const ours = [...outside.services].filter(
    ([, { service }]) => 'address' in service.key && !isForeign(service.key.address),
  );
  const [id, node] = one(ours, pick) ?? [];
  if (id === undefined || node === undefined) return;
  const { key } = node.service;
  if (how === 'remove') outside.services.delete(id);
  if (how === 'empty') node.destinations.clear();
  if (how === 'edit') node.service = { ...node.service, scheduler: 'lc' };
  if (how === 'extra' && 'address' in key) {
    const address = ip(familyOf(key.address) === 'IPv4' ? '10.77.0.1' : 'fd00:77::1');
    outside.apply({
      verb: 'create-destination',
      key,
      destination: { address, port: 9, weight: 1, forward: 'masquerade' },
    });
  }
}

function drain(machine: Machine, address: string, timeoutMs: number, undoneInMs: number): void {
  const undo = new AbortController();
  machine.ask((handle) => handle.drain({ address, timeoutMs, signal: undo.signal }));
  machine.clock.after(undoneInMs, () => undo.abort());
}

/** Makes the addresses of eth0 these. */
export function setAddresses({ outside }: FakeKernel, addresses: readonly string[]): void {
  for (const { link, address, prefixLength } of [...outside.addresses.values()]) {
    if (link !== 'eth0' || addresses.includes(address)) continue;
    outside.apply({ verb: 'remove-address', link, address, prefixLength });
  }
  for (const text of addresses) {
    const address = ip(text);
    const prefixLength = familyOf(address) === 'IPv4' ? 24 : 64;
    outside.apply({ verb: 'add-address', address: { link: 'eth0', address, prefixLength } });
  }
}
