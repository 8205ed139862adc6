/** Connections as the conntrack tool can write them, and their text: one line each, with both directions. */
import fc from 'fast-check';
import {
  type Connection,
  type ConnectionProtocol,
  ConnectionStatus,
  type ConnectionTuple,
  type IpFamily,
} from '../../lib/types.ts';
import { addresses, families, longTimes, ports, roundedSeconds } from './arbitrary-kernel.ts';

/** What is compared: the id is the kernel's, and of the status only what a user sets. */
export type GeneratedConnection = Pick<Connection, 'original' | 'reply' | 'mark' | 'timeoutSeconds' | 'status'>;

const statuses = [0, ConnectionStatus.seenReply, ConnectionStatus.seenReply | ConnectionStatus.assured] as const;
const shownStatus = ConnectionStatus.seenReply | ConnectionStatus.assured;
/** Questions that ICMP has answers to, and the answers (include/net/netfilter/nf_conntrack_l4proto.h). */
const questions: Readonly<Record<IpFamily, readonly (readonly [question: number, answer: number])[]>> = {
  IPv4: [
    [8, 0],
    [13, 14],
    [17, 18],
  ],
  IPv6: [[128, 129]],
};

/** Translated on the way for half of them: the answers come from elsewhere. */
function tuples(family: IpFamily): fc.Arbitrary<Pick<Connection, 'original' | 'reply'>> {
  const ends = fc.record({
    source: addresses(family, 61),
    destination: addresses(family, 62),
    endpoint: fc.option(addresses(family, 63), { nil: undefined }),
  });
  const transport = fc
    .record({
      ends,
      protocol: fc.constantFrom<ConnectionProtocol>('tcp', 'udp', 'sctp'),
      sourcePort: ports,
      destinationPort: ports,
      endpointPort: ports,
    })
    .map(({ ends: { source, destination, endpoint }, protocol, sourcePort, destinationPort, endpointPort }) => ({
      original: { protocol, source, sourcePort, destination, destinationPort },
      reply: {
        protocol,
        source: endpoint ?? destination,
        sourcePort: endpoint === undefined ? destinationPort : endpointPort,
        destination: source,
        destinationPort: sourcePort,
      },
    }));
  const icmp = fc
    .record({ ends, kind: fc.constantFrom(...questions[family]), id: fc.integer({ min: 0, max: 65535 }) })
    .map(({ ends: { source, destination, endpoint }, kind: [question, answer], id }) => {
      const common = { protocol: family === 'IPv4' ? 'icmp' : 'icmpv6', sourcePort: 0, destinationPort: 0 } as const;
      return {
        original: { ...common, source, destination, icmp: { type: question, code: 0, id } },
        reply: { ...common, source: endpoint ?? destination, destination: source, icmp: { type: answer, code: 0, id } },
      };
    });
  return fc.oneof({ weight: 4, arbitrary: transport }, { weight: 1, arbitrary: icmp });
}

export function connectionBatches(): fc.Arbitrary<readonly GeneratedConnection[]> {
  const one = families.chain((family) =>
    fc
      .record({
        tuples: tuples(family),
        mark: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        timeoutSeconds: longTimes,
        status: fc.constantFrom(...statuses),
      })
      .map(({ tuples: both, ...rest }) => ({ ...both, ...rest })),
  );
  // Neither direction of one is a direction of another.
  return fc.uniqueArray(one, { minLength: 100, maxLength: 100, selector: ({ original }) => original.source });
}

/** What is compared: one line per connection, the time rounded. */
export function connectionLine({ original, reply, mark, timeoutSeconds, status }: GeneratedConnection): string {
  const ends = `${tupleText(original)} ${tupleText(reply)}`;
  return `${original.protocol} ${roundedSeconds(timeoutSeconds)} ${ends} mark=${mark} status=${status & shownStatus}`;
}

function tupleText({ source, destination, sourcePort, destinationPort, icmp }: ConnectionTuple): string {
  const ports =
    icmp === undefined
      ? `sport=${sourcePort} dport=${destinationPort}`
      : `type=${icmp.type} code=${icmp.code} id=${icmp.id}`;
  return `src=${source} dst=${destination} ${ports}`;
}

/** A line of `conntrack -R`. */
export function savedConnection({ original, reply, mark, timeoutSeconds, status }: GeneratedConnection): string {
  const { protocol, icmp } = original;
  const names = [
    ...((status & ConnectionStatus.seenReply) !== 0 ? ['SEEN_REPLY'] : []),
    ...((status & ConnectionStatus.assured) !== 0 ? ['ASSURED'] : []),
  ];
  const ends = `-s ${original.source} -d ${original.destination} -r ${reply.source} -q ${reply.destination}`;
  const numbers =
    icmp === undefined
      ? `--sport ${original.sourcePort} --dport ${original.destinationPort} ` +
        `--reply-port-src ${reply.sourcePort} --reply-port-dst ${reply.destinationPort}`
      : `--${protocol}-type ${icmp.type} --${protocol}-code ${icmp.code} --${protocol}-id ${icmp.id}`;
  const state = protocol === 'tcp' || protocol === 'sctp' ? ' --state ESTABLISHED' : '';
  const tags = protocol === 'sctp' ? ' --orig-vtag 1 --reply-vtag 2' : '';
  return (
    `-A -t ${timeoutSeconds} -u ${names.length === 0 ? 'UNSET' : names.join(',')} ${ends} -p ${protocol} ${numbers}` +
    `${state}${tags} --mark ${mark}`
  );
}

/** A line of `conntrack -L`, field by field. */
export function listedConnection(line: string): string {
  const [protocol = '', , timeout = ''] = line.split(/\s+/);
  const fields = [...line.matchAll(/ (src|dst|sport|dport|type|code|id)=(\S+)/g)].map(
    ([, name, value]) => `${name}=${value}`,
  );
  const mark = / mark=(\d+)/.exec(line)?.[1];
  const status =
    (line.includes('[UNREPLIED]') ? 0 : ConnectionStatus.seenReply) |
    (line.includes('[ASSURED]') ? ConnectionStatus.assured : 0);
  return `${protocol} ${roundedSeconds(Number(timeout))} ${fields.join(' ')} mark=${mark} status=${status}`;
}
