/** Lines of tables as people know them, and what they speak of. */
import { parseAddress } from '../../lib/address.ts';
import type { IpAddress, IpFamily } from '../../lib/types.ts';
import type { RuleLine } from './rule-lines.ts';

/** A line and what it speaks of. */
export interface Line {
  /** Whose it is. */
  readonly side: 'kube-proxy' | 'ours';
  readonly text: string;
  /** Without `KUBE-` or `KUBE-6-`: of an entry, or of a rule that matches a set. */
  readonly set?: string;
  /** `tcp 10.96.0.10:80` */
  readonly service?: string;
  readonly address?: IpAddress | undefined;
  /** Of a destination, or a KUBE-LOOP-BACK entry. */
  readonly endpoint?: IpAddress | undefined;
  /** The third part of an entry. */
  readonly net?: string;
  /** `order`: lines that both have stand in another order. */
  readonly kind: 'service' | 'destination' | 'entry' | 'address' | 'rule' | 'order';
}

/** What is left of a line of `ipvsadm -Sn` without the properties. */
export function identityOf(line: string): string {
  return /^-A \S+ \S+|^-a \S+ \S+ -r \S+/.exec(line)?.[0] ?? line;
}

export function familyOfText(text: string): IpFamily {
  return text.includes('[') || text.includes('KUBE-6-') || /^[0-9a-f]*:/.test(text) ? 'IPv6' : 'IPv4';
}

export function ipvsLine(side: Line['side'], text: string): [Line, IpFamily] {
  const [, flag = '', name = '', rest = ''] = /^-[Aa] (-t|-u|--sctp-service) (\S+)(.*)$/.exec(text) ?? [];
  const protocol = flag === '-t' ? 'tcp' : flag === '-u' ? 'udp' : 'sctp';
  const endpoint = /^ -r (\S+) /.exec(rest)?.[1];
  const line: Line = {
    side,
    text,
    service: `${protocol} ${name}`,
    address: hostOf(name),
    kind: endpoint === undefined ? 'service' : 'destination',
    ...(endpoint !== undefined && { endpoint: hostOf(endpoint) }),
  };
  return [line, familyOfText(name)];
}

function hostOf(hostPort: string): IpAddress | undefined {
  return parseAddress(hostPort.slice(0, hostPort.lastIndexOf(':')).replace(/[[\]]/g, ''));
}

export function entryLine(side: Line['side'], text: string): [Line, IpFamily] {
  const [, prefix = '', set = '', entry = ''] = /^add (KUBE-6-|KUBE-)(\S+) (.*)$/.exec(text) ?? [];
  const [first = '', protocolPort, net] = entry.split(',');
  const [protocol, port] = protocolPort?.split(':') ?? [];
  const family = prefix === 'KUBE-' ? 'IPv4' : 'IPv6';
  const isEndpoint = set === 'LOOP-BACK';
  const line: Line = {
    side,
    text,
    set,
    kind: 'entry',
    ...(isEndpoint ? { endpoint: parseAddress(first) } : { address: parseAddress(first) }),
    ...(port !== undefined &&
      !isEndpoint && { service: `${protocol} ${family === 'IPv6' ? `[${first}]` : first}:${port}` }),
    ...(net !== undefined && { net }),
  };
  return [line, family];
}

export function ruleLine(side: Line['side'], text: RuleLine): Line {
  const set = /--match-set (?:KUBE-6-|KUBE-)(\S+)/.exec(text)?.[1];
  const [, number, vip = '', port] = /--vproto (\d+) --vaddr (\S+) --vport (\d+)/.exec(text) ?? [];
  const protocol = number === '6' ? 'tcp' : number === '17' ? 'udp' : 'sctp';
  return {
    side,
    text,
    kind: 'rule',
    ...(set !== undefined && { set }),
    ...(vip !== '' && {
      address: parseAddress(vip),
      service: `${protocol} ${vip.includes(':') ? `[${vip}]` : vip}:${port}`,
    }),
  };
}
