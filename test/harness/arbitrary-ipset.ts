/** Sets of every type, with their entries, and their text in ipset's notation. */
import fc from 'fast-check';
import type { IpFamily, SetEntry, SetSpec, SetState, SetType } from '../../lib/types.ts';
import { addresses, families, longTimes, networks, ports, roundedSeconds } from './arbitrary-kernel.ts';

export interface GeneratedSet {
  readonly set: SetSpec;
  readonly entries: readonly SetEntry[];
}

const types: readonly SetType[] = [
  'hash:ip',
  'hash:net',
  'hash:ip,port',
  'hash:ip,port,ip',
  'hash:ip,port,net',
  'hash:net,iface',
  'bitmap:port',
];

/** ipset writes the protocol's name and the port, for these three. */
const protocolPorts = fc.tuple(fc.constantFrom('tcp', 'udp', 'sctp'), ports).map((pair) => pair.join(':'));
const interfaces = fc.constantFrom('eth0', 'kube-ipvs0', 'physdev:eth1', 'a.b-c_d');

function elements(type: SetType, family: IpFamily): fc.Arbitrary<string> {
  if (type === 'bitmap:port') return fc.integer({ min: 0, max: 65535 }).map(String);
  const fields = type
    .slice('hash:'.length)
    .split(',')
    .map((field) => {
      if (field === 'port') return protocolPorts;
      if (field === 'iface') return interfaces;
      return field === 'net' ? networks(family, type === 'hash:net,iface' ? 0 : 1) : addresses(family, 98);
    });
  return fc.tuple(...fields).map((parts) => parts.join(','));
}

const comments = fc
  .string({ unit: fc.constantFrom(..."abcXYZ019 .,:;/-_()=+*?!'%$#@~äß→"), minLength: 1, maxLength: 60 })
  // The tool trims what it reads, and takes what begins with a dash for an option.
  .map((text) => text.replace(/^[-\s]+/, '').trim() || 'x');

function sets(name: string): fc.Arbitrary<GeneratedSet> {
  return fc
    .record({
      type: fc.constantFrom(...types),
      family: families,
      hashSize: fc.constantFrom(0, 64, 1024, 4096),
      maxElements: fc.constantFrom(0, 100, 70_000),
      timeoutSeconds: fc.option(fc.oneof(fc.constant(0), longTimes)),
      comment: fc.boolean(),
    })
    .chain(({ type, family, hashSize, maxElements, timeoutSeconds, comment }) => {
      const isPort = type === 'bitmap:port';
      const set: SetSpec = {
        name,
        type,
        family: isPort ? 'IPv4' : family,
        ...(hashSize !== 0 && !isPort && { hashSize }),
        ...(maxElements !== 0 && !isPort && { maxElements }),
        ...(timeoutSeconds !== null && { timeoutSeconds }),
        ...(comment && { comment }),
      };
      const entry = fc.record({
        element: elements(type, set.family),
        timeout: fc.oneof(fc.constant(0), longTimes),
        isNomatch: fc.integer({ min: 0, max: 4 }).map((dice) => dice === 0 && type.includes('net')),
        text: fc.option(comments),
      });
      return fc
        .uniqueArray(entry, { minLength: 8, maxLength: 8, selector: ({ element }) => element })
        .map((entries) => ({
          set,
          entries: entries.map(({ element, timeout, isNomatch, text }) => {
            let written = element;
            if (timeoutSeconds !== null) written += ` timeout ${timeout}`;
            if (isNomatch) written += ' nomatch';
            return comment && text !== null ? `${written} comment "${text}"` : written;
          }),
        }));
    });
}

/** Ten sets of eight entries each, their names starting with `prefix`. */
export function setBatches(prefix: string): fc.Arbitrary<readonly GeneratedSet[]> {
  return fc.tuple(...Array.from({ length: 10 }, (_, i) => sets(`${prefix}${i}`)));
}

/** The line `ipset save` writes for a set, without what the library leaves to the kernel (bucket size, initial value of the hash). */
export function setText(set: SetSpec | SetState): string {
  const options = [
    set.timeoutSeconds === undefined ? '' : ` timeout ${set.timeoutSeconds}`,
    set.comment === true ? ' comment' : '',
  ].join('');
  if (set.type === 'bitmap:port') return `create ${set.name} bitmap:port range 0-65535${options}`;
  const family = set.family === 'IPv4' ? 'inet' : 'inet6';
  const sizes = `hashsize ${set.hashSize ?? 1024} maxelem ${set.maxElements ?? 65536}`;
  return `create ${set.name} ${set.type} family ${family} ${sizes}${options}`;
}

export function entryText(name: string, entry: SetEntry): string {
  return `add ${name} ${entry}`.replace(/ timeout (\d+)/, (_, left) => ` timeout ${roundedSeconds(Number(left))}`);
}

/** The lines of `ipset save` of the sets named `prefix…`, in the words of `setText` and `entryText`. */
export function savedLines(text: string, prefix: string): readonly string[] {
  return text
    .split('\n')
    .filter((line) => line.split(' ')[1]?.startsWith(prefix) === true)
    .map((line) => line.replace(/ bucketsize \d+/, '').replace(/ initval 0x[0-9a-f]+/, ''))
    .map((line) =>
      line.startsWith('add ')
        ? line.replace(/ timeout (\d+)/, (_, t) => ` timeout ${roundedSeconds(Number(t))}`)
        : line,
    );
}
