/** All that a proxier writes, as the tools show it: to see that something changed nothing. */
import { vipRouteProtocol } from '../../lib/plan/vip-binding.ts';
import { runTool } from './run-tool.ts';

const commands: readonly (readonly [string, ...string[]])[] = [
  ['ipvsadm', '-Sn'],
  ['ipset', 'save'],
  ['iptables-legacy-save'],
  ['ip6tables-legacy-save'],
  ['iptables-nft-save'],
  ['ip6tables-nft-save'],
  ['ip', '-o', 'address', 'show', 'dev', 'kube-ipvs0'],
  ['ip', 'route', 'show', 'table', 'local', 'proto', String(vipRouteProtocol)],
  ['ip', '-6', 'route', 'show', 'table', 'local', 'proto', String(vipRouteProtocol)],
];

/** Without the time of day (in comments) and packet counters. */
export async function dumpTables(): Promise<string> {
  const outputs: string[] = [];
  for (const [program, ...args] of commands) outputs.push(await runTool(program, args, { mayFail: true }));
  return outputs
    .join('\n')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/ \[\d+:\d+\]$/gm, '');
}

/** Lines that only one of two dumps has; empty when they are the same but for the order. */
export function tableDifference(before: string, after: string): readonly string[] {
  const [old, now] = [before.split('\n'), after.split('\n')];
  return [
    ...old.filter((line) => !now.includes(line)).map((line) => `- ${line}`),
    ...now.filter((line) => !old.includes(line)).map((line) => `+ ${line}`),
  ];
}
