/** What a person types to ask about something, and what it is taken for. */
import { parseAddress } from '../address.ts';
import { nearestWord } from '../nearest-word.ts';
import { hostPort, type ServiceId } from '../plan/state.ts';
import type { ServicePortId } from '../plan/wanted.ts';
import type { ObjectKey } from '../records.ts';
import type { IpAddress, Protocol } from '../types.ts';

export type ExplainKey =
  /** `ns1/svc1` */
  | { readonly kind: 'Service'; readonly service: ObjectKey }
  /** `IPv4 ns1/svc1:p80/tcp`, and the same without the family or the protocol: the beginning of it, without a family. */
  | { readonly kind: 'service port'; readonly service: ObjectKey; matches(port: ServicePortId): boolean }
  /** `tcp 10.96.0.10:80`; `10.96.0.10:80` in any protocol. Also an endpoint of that address, where there is no protocol. */
  | {
      readonly kind: 'virtual service';
      readonly services: readonly ServiceId[];
      readonly endpoint: { readonly address: IpAddress; readonly port: number } | undefined;
    }
  /** `10.96.0.10`, of a virtual service or of an endpoint. */
  | { readonly kind: 'address'; readonly address: IpAddress }
  | { readonly kind: 'unknown' };

const protocols: readonly Protocol[] = ['tcp', 'udp', 'sctp'];

/** By its form alone. White space around it and between its words does not count. */
export function parseExplainKey(text: string): ExplainKey {
  const key = text.trim().replace(/\s+/g, ' ');
  const address = parseAddress(key.replace(/^\[(.*)\]$/, '$1'));
  if (address !== undefined) return { kind: 'address', address };
  const [first = '', second] = key.split(' ');
  const protocol = protocols.find((each) => each === first.toLowerCase());
  const where = parseHostPort(protocol === undefined ? key : (second ?? ''));
  if (where !== undefined) {
    const services = (protocol === undefined ? protocols : [protocol]).map(
      (each) => `${each} ${hostPort(where.address, where.port)}`,
    );
    return { kind: 'virtual service', services, endpoint: protocol === undefined ? where : undefined };
  }
  const port = /^(?:(IPv[46]) )?([^/\s:]+\/[^/\s:]+):([^\s]*)$/i.exec(key);
  if (port !== null) {
    const [, family, service = '', rest = ''] = port;
    const name = `${service}:${rest}`;
    const matches = (id: ServicePortId): boolean => {
      const bare = id.slice(id.indexOf(' ') + 1);
      const isFamily = family === undefined || id.toLowerCase().startsWith(`${family.toLowerCase()} `);
      return isFamily && (bare === name || bare.startsWith(`${name}/`));
    };
    return { kind: 'service port', service, matches };
  }
  return /^[^/\s]+\/[^/\s]+$/.test(key) ? { kind: 'Service', service: key } : { kind: 'unknown' };
}

function parseHostPort(text: string): { readonly address: IpAddress; readonly port: number } | undefined {
  const [, host = '', digits = ''] = /^(.*):(\d{1,5})$/.exec(text) ?? [];
  const address = parseAddress(host.replace(/^\[(.*)\]$/, '$1'));
  const port = Number(digits);
  // Without brackets the end of an IPv6 address looks like a port.
  if (address === undefined || port > 65_535 || (address.includes(':') && !host.startsWith('['))) return undefined;
  return { address, port };
}

/** What may have been meant, the likeliest first, at most three. */
export function nearestKeys(text: string, candidates: Iterable<string>): readonly string[] {
  const word = text.trim();
  // Of a service port the end says nothing.
  const name = /[\s:]/.test(word) ? undefined : word.slice(word.lastIndexOf('/') + 1);
  const near: string[] = [];
  const namesakes: string[] = [];
  const limit = Math.max(2, Math.floor(word.length / 3));
  for (const candidate of candidates) {
    if (name !== undefined && candidate.endsWith(`/${name}`) && namesakes.length < 3) namesakes.push(candidate);
    if (Math.abs(candidate.length - word.length) <= limit && near.length < mostCompared) near.push(candidate);
  }
  const nearest = nearestWord(word, near);
  return [...new Set([...(nearest === undefined ? [] : [nearest]), ...namesakes])].slice(0, 3);
}

/** Some tens of milliseconds at the most. */
const mostCompared = 5000;
