/** iptables in memory: `restore` as `iptables-restore --noflush` takes it, `save` as `iptables-save` prints it after the kernel's round trip. */
import { ProxierError } from '../errors.ts';
import type { Iptables, IptablesBackend } from '../kernel/iptables.ts';
import type { IpFamily } from '../types.ts';
import type { FakeKernel } from './fake-kernel.ts';

interface Table {
  /** Chain name → its rules; built-in chains have a policy. */
  readonly chains: Map<string, { readonly policy: string; rules: string[] }>;
}

const builtIn: Readonly<Record<string, readonly string[]>> = {
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
};

export class FakeIptables implements Iptables {
  readonly backend: IptablesBackend = 'legacy';
  /** Restore inputs that were carried out, in order. */
  readonly log: { readonly family: IpFamily; readonly text: string }[] = [];
  readonly #kernel: FakeKernel;
  #tables: Record<IpFamily, Map<string, Table>> = { IPv4: emptyTables(), IPv6: emptyTables() };
  #failures: { readonly call: 'save' | 'restore'; times: number; readonly message: string }[] = [];
  #gate: Promise<void> | undefined;

  /** @param kernel Where `--match-set` looks its sets up. */
  constructor(kernel: FakeKernel) {
    this.#kernel = kernel;
  }

  failNext(
    call: 'save' | 'restore',
    times: number = 1,
    message: string = 'Another app is currently holding the xtables lock',
  ): void {
    this.#failures.push({ call, times, message });
  }

  /** Every call from now on waits for this promise first, as for the xtables lock. */
  holdUntil(gate: Promise<void>): void {
    this.#gate = gate;
  }

  async save(family: IpFamily): Promise<string> {
    await this.#gate;
    this.#meetFault('save');
    let text = '';
    for (const [name, table] of this.#tables[family]) {
      text += `*${name}\n`;
      for (const [chain, { policy }] of table.chains) text += `:${chain} ${policy} [0:0]\n`;
      for (const [chain, { rules }] of table.chains) for (const rule of rules) text += `-A ${chain} ${rule}\n`;
      text += 'COMMIT\n';
    }
    return text;
  }

  async restore(family: IpFamily, text: string): Promise<void> {
    await this.#gate;
    this.#meetFault('restore');
    this.outside(family, text);
    this.log.push({ family, text });
  }

  /** The same by the hand of somebody else: not logged, never held up. Also takes `-D`, `-F` and `-X`. */
  outside(family: IpFamily, text: string): void {
    const tables = new Map([...this.#tables[family]].map(([name, table]) => [name, cloneTable(table)]));
    let table: Table | undefined;
    text.split('\n').forEach((line, index) => {
      const fail = (reason: string): never => {
        throw new ProxierError('ERR_IPTABLES', `iptables-restore failed at line ${index + 1}: ${reason}: ${line}`);
      };
      if (line === '' || line.startsWith('#')) return;
      if (line.startsWith('*')) {
        table = tables.get(line.slice(1)) ?? fail('no such table');
      } else if (line === 'COMMIT') {
        table = undefined;
      } else if (table === undefined) {
        fail('outside a table');
      } else {
        this.#line(table, line, fail);
      }
    });
    this.#tables[family] = tables;
  }

  #line(table: Table, line: string, fail: (reason: string) => never): void {
    const declared = /^:(\S+) (\S+)/.exec(line);
    if (declared !== null) {
      const [, name = '', policy = '-'] = declared;
      table.chains.set(name, { policy: table.chains.get(name)?.policy ?? policy, rules: [] });
      return;
    }
    const command = /^-([ADIFX]) (\S+) ?(\d+ )?(.*)$/.exec(line);
    if (command === null) fail('not understood');
    const [, verb = '', name = '', position = '1', text = ''] = command;
    const chain = table.chains.get(name);
    if (chain === undefined) fail('no such chain');
    const rule = savedSpelling(text);
    if (verb === 'A' || verb === 'I') this.#check(table, rule, fail);
    if (verb === 'A') chain.rules.push(rule);
    if (verb === 'I') chain.rules.splice(Number(position) - 1, 0, rule);
    if (verb === 'D') chain.rules.splice(existing(chain.rules, rule, fail), 1);
    if (verb === 'F') chain.rules = [];
    if (verb === 'X') table.chains.delete(name);
  }

  #check(table: Table, rule: string, fail: (reason: string) => never): void {
    for (const [, set = ''] of rule.matchAll(/--match-set (\S+)/g)) {
      if (!this.#kernel.outside.sets.has(set)) fail(`set ${set} does not exist`);
    }
    const target = / ?-j (\S+)/.exec(rule)?.[1];
    if (target?.startsWith('KUBE-') && !table.chains.has(target)) fail(`no chain ${target}`);
  }

  #meetFault(call: 'save' | 'restore'): void {
    const fault = this.#failures.find((candidate) => candidate.call === call && candidate.times > 0);
    if (fault === undefined) return;
    fault.times -= 1;
    throw new ProxierError('ERR_IPTABLES', `iptables-${call}: ${fault.message}`);
  }
}

function existing(rules: readonly string[], rule: string, fail: (reason: string) => never): number {
  const index = rules.indexOf(rule);
  return index >= 0 ? index : fail('no such rule');
}

function emptyTables(): Map<string, Table> {
  return new Map(
    Object.entries(builtIn).map(([name, chains]) => [
      name,
      { chains: new Map(chains.map((chain) => [chain, { policy: 'ACCEPT', rules: [] }])) },
    ]),
  );
}

function cloneTable(table: Table): Table {
  return {
    chains: new Map([...table.chains].map(([name, { policy, rules }]) => [name, { policy, rules: [...rules] }])),
  };
}

/** What the kernel round trip makes of a rule (behaviour.md 4.5). */
function savedSpelling(rule: string): string {
  const inverted = /^(.*?) ?(! -[si] \S+)(.*)$/.exec(rule);
  const sourceFirst =
    inverted === null || inverted[1] === '' ? rule : `${inverted[2] ?? ''} ${inverted[1] ?? ''}${inverted[3] ?? ''}`;
  return sourceFirst
    .replace(/--or-mark (0x[0-9a-f]+)/, (_all, mark: string) => `--set-xmark ${hex(mark)}/${hex(mark)}`)
    .replace(/--xor-mark (0x[0-9a-f]+)/, (_all, mark: string) => `--set-xmark ${hex(mark)}/0x0`)
    .replace(
      /--mark (0x[0-9a-f]+)\/(0x[0-9a-f]+)/,
      (_all, mark: string, mask: string) => `--mark ${hex(mark)}/${hex(mask)}`,
    )
    .replace(/-j REJECT$/, (target) =>
      rule.includes('KUBE-6-')
        ? `${target} --reject-with icmp6-port-unreachable`
        : `${target} --reject-with icmp-port-unreachable`,
    )
    .replace(/(?<!\\)'/g, "\\'");
}

function hex(text: string): string {
  return `0x${Number(text).toString(16)}`;
}
