/** How the steps of a history happen on a real kernel: by the tools that people have, and what they see there is what counts. */
import assert from 'node:assert/strict';
import { familyOf } from '../../../lib/address.ts';
import { Batch } from '../../../lib/kernel/batch.ts';
import { openSession } from '../../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../../lib/kernel/session.ts';
import type { Operation } from '../../../lib/operations.ts';
import { setSpecs } from '../../../lib/plan/sets.ts';
import { vipRouteProtocol } from '../../../lib/plan/vip-binding.ts';
import type { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import { ip } from '../../harness/records.ts';
import { runTool } from '../../harness/run-tool.ts';
import { newKernel } from '../../unit/reconcile/world.ts';
import type { World } from '../events.ts';
import { changeForeign, isForeign } from '../foreign.ts';
import { flushRules, setAddresses } from '../host/happen.ts';
import { Machine, type MachineOptions } from '../machine.ts';
import type { Step } from '../steps.ts';

const nodeLink = 'chaos-node0';
const vipLink = 'kube-ipvs0';

/** Rules are those of a fake, which finds all sets it looks for: whoever destroys one has taken them away before. */
export function kernelOfRules(): FakeKernel {
  const kernel = newKernel();
  for (const family of ['IPv4', 'IPv6'] as const)
    for (const set of setSpecs(family)) kernel.outside.apply({ verb: 'create-set', set });
  return kernel;
}

export class RealWorld implements World {
  readonly machine: Machine;
  /** The kernel took ip_vs out, and in again. */
  reloads = 0;
  readonly #hand: KernelSession = openSession();

  constructor(options: MachineOptions) {
    this.machine = new Machine(options, { kernel: kernelOfRules(), others: newKernel(), openSession });
    this.#write(new Batch().ensureLink(nodeLink));
    this.setAddresses(['192.168.1.10']);
  }

  async happen(what: Step): Promise<void> {
    const { machine } = this;
    switch (what.kind) {
      case 'clearIpvs':
        return this.#clearIpvs();
      case 'reloadIpvs':
        return this.#reloadIpvs();
      case 'set':
        return this.#harmSet(what.how, what.pick);
      case 'link':
        return this.#harmLink(what.how, what.pick);
      case 'entry': {
        const lines = (await runTool('ipset', ['save'])).split('\n').filter((line) => line.startsWith('add KUBE-'));
        const [, set, entry] = lines[what.pick % Math.max(1, lines.length)]?.split(' ') ?? [];
        if (what.how === 'add') await runTool('ipset', ['add', 'KUBE-IPVS-IPS', '10.66.0.1', '-exist'], mayFail);
        else if (set !== undefined && entry !== undefined) await runTool('ipset', ['del', set, entry]);
        return;
      }
      case 'service':
        return this.#harmService(what.how, what.pick);
      case 'rules':
        flushRules(machine, what.family);
        return;
      case 'foreign':
        return this.#write(batchOf(changeForeign(machine.others.outside, what.what, what.number)));
      case 'overflow':
        machine.overflow();
        return;
      case 'rulesFail':
        machine.iptables.failNext(what.call, what.times);
        return;
      case 'drain': {
        const undo = new AbortController();
        machine.ask((handle) => handle.drain({ ...what, signal: undo.signal }));
        machine.clock.after(what.undoneInMs, () => undo.abort());
        return;
      }
      case 'ask':
        machine.ask((handle) => handle[what.what]());
        return;
      default:
        // Refusals and losses are the fake kernel's.
        return;
    }
  }

  setAddresses(addresses: readonly string[]): void {
    setAddresses(this.machine.others, addresses);
    const batch = new Batch();
    for (const { link, address, prefixLength } of readAll(this.#hand.addresses())) {
      if (link === nodeLink && !address.startsWith('fe80:') && !addresses.includes(address))
        batch.removeAddress(link, address, prefixLength);
    }
    for (const address of addresses.map(ip))
      batch.addAddress({ link: nodeLink, address, prefixLength: familyOf(address) === 'IPv4' ? 24 : 64 });
    this.#write(batch);
  }

  async heal(): Promise<void> {}

  endConnections(): void {}

  /** As the tools show it. */
  async lines(): Promise<string[]> {
    const ipvs = await runTool('ipvsadm', ['-Sn']);
    const sets = await runTool('ipset', ['save']);
    const bound = readAll(this.#hand.addresses()).flatMap(({ link, address }) => (link === vipLink ? [address] : []));
    const shown = await runTool('ip', ['-o', 'address', 'show', 'dev', vipLink]);
    assert.deepEqual(vipsShown(shown), bound.filter((address) => !address.startsWith('fe80:')).sort());
    const routes = readAll(this.#hand.localRoutes({ protocol: vipRouteProtocol }));
    return [
      ...ipvs.split('\n'),
      ...sets.split('\n').map(setLine),
      ...vipsShown(shown).map((address) => `${vipLink} ${address}`),
      ...routes.map(({ address }) => `local ${address}`),
    ]
      .map((line) => line.trim())
      .filter((line) => line !== '')
      .sort();
  }

  /** Nothing is left. */
  end(): void {
    const batch = new Batch().flushServices();
    for (const { name } of readAll(this.#hand.sets())) batch.removeSet(name);
    for (const route of readAll(this.#hand.localRoutes({ protocol: vipRouteProtocol }))) batch.removeLocalRoute(route);
    this.#hand.run(batch.removeLink(vipLink).removeLink(nodeLink).removeLink('others0'));
    this.#hand.close();
  }

  async #clearIpvs(): Promise<void> {
    this.machine.others.outside.services.clear();
    await runTool('ipvsadm', ['-C']);
  }

  /** Only with an empty table it goes; where something else holds it, the table was emptied, and that is all. */
  async #reloadIpvs(): Promise<void> {
    await this.#clearIpvs();
    const loaded = (await runTool('lsmod', [])).split('\n').map((line) => line.split(' ')[0] ?? '');
    const dependent = loaded.filter((name) => name.startsWith('ip_vs_') || name === 'xt_ipvs');
    await runTool('rmmod', [...dependent, 'ip_vs'], mayFail);
    const left = await runTool('lsmod', []);
    if (!/^ip_vs /m.test(left)) this.reloads += 1;
  }

  async #harmSet(how: 'flush' | 'destroy' | 'retype', pick: number): Promise<void> {
    const names = readAll(this.#hand.sets()).flatMap(({ name }) => (name.startsWith('KUBE-') ? [name] : []));
    const name = names.sort()[pick % Math.max(1, names.length)];
    if (name === undefined) return;
    if (how === 'flush') {
      await runTool('ipset', ['flush', name]);
      return;
    }
    for (const family of ['IPv4', 'IPv6'] as const) flushRules(this.machine, family);
    await runTool('ipset', ['destroy', name]);
    if (how === 'retype') await runTool('ipset', ['create', name, 'hash:net']);
  }

  async #harmLink(how: 'remove' | 'replace' | 'unbind' | 'bind', pick: number): Promise<void> {
    if (how === 'remove' || how === 'replace') await runTool('ip', ['link', 'delete', vipLink], mayFail);
    if (how === 'replace') await runTool('ip', ['link', 'add', vipLink, 'type', 'dummy']);
    if (how === 'bind') await runTool('ip', ['address', 'add', '10.66.0.1/32', 'dev', vipLink], mayFail);
    if (how !== 'unbind') return;
    const bound = readAll(this.#hand.addresses()).filter(({ link }) => link === vipLink);
    const one = bound[pick % Math.max(1, bound.length)];
    if (one !== undefined)
      await runTool('ip', ['address', 'delete', `${one.address}/${one.prefixLength}`, 'dev', vipLink]);
  }

  async #harmService(how: 'remove' | 'edit' | 'empty' | 'extra', pick: number): Promise<void> {
    const ours = readAll(this.#hand.servicesWithDestinations()).filter(
      ({ key }) => 'address' in key && !isForeign(key.address),
    );
    const service = ours[pick % Math.max(1, ours.length)];
    if (service === undefined) return;
    const { key } = service;
    const batch = new Batch();
    if (how === 'remove') batch.removeService(key);
    if (how === 'edit') batch.updateService({ ...service, scheduler: 'lc' });
    if (how === 'empty') for (const destination of service.destinations) batch.removeDestination(key, destination);
    if (how === 'extra' && 'address' in key) {
      const address = ip(familyOf(key.address) === 'IPv4' ? '10.77.0.1' : 'fd00:77::1');
      batch.ensureDestination(key, { address, port: 9, weight: 1, forward: 'masquerade' });
    }
    this.#write(batch);
  }

  #write(batch: Batch): void {
    assert.deepEqual(this.#hand.run(batch).failures, []);
  }
}

const mayFail = { mayFail: true } as const;

function batchOf(operations: readonly Operation[]): Batch {
  const batch = new Batch();
  for (const operation of operations) batch.push(operation);
  return batch;
}

function vipsShown(text: string): string[] {
  return [...text.matchAll(/ inet6? (\S+)\/\d+ /g)]
    .flatMap(([, address = '']) => (address.startsWith('fe80:') ? [] : [address]))
    .sort();
}

/** Of a set its name and type: how large it was made differs. */
function setLine(line: string): string {
  return line.startsWith('create ') ? line.split(' ').slice(0, 3).join(' ') : line;
}

/** The same of the fake kernel on which nothing but the end happened. */
export function linesOf({ kernel }: Machine): string[] {
  return kernel
    .dump()
    .split('\n')
    .flatMap((line) => {
      if (line.startsWith('link ') || line.startsWith('eth0 ') || line.startsWith('others0 ')) return [];
      if (line.startsWith(`${vipLink} `)) return [line.split('/')[0] ?? ''];
      const route = /^local (\S+?)(\/\d+)? /.exec(line)?.[1];
      return route === undefined ? [setLine(line)] : [`local ${route}`];
    })
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .sort();
}
