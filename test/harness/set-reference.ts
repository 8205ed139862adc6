/** Something in the kernel that refers to a set and so holds it: a rule where this kernel has iptables, else a list of sets. */
import { runTool } from './run-tool.ts';

export interface SetReference {
  /** The name that it has for the set, as the tools show it. */
  shownName(): Promise<string | undefined>;
  release(): Promise<void>;
}

const CHAIN = 'SET-REFERENCE';

export async function referTo(name: string): Promise<SetReference> {
  const iptables = process.env['TEST_KERNEL'] === 'uml' ? 'iptables-legacy' : 'iptables';
  try {
    await runTool(iptables, ['-w', '-N', CHAIN]);
  } catch {
    return byList(name);
  }
  await runTool(iptables, ['-w', '-A', CHAIN, '-m', 'set', '--match-set', name, 'dst', '-j', 'ACCEPT']);
  return {
    shownName: async () => / --match-set (\S+) /.exec(await runTool(iptables, ['-w', '-S', CHAIN]))?.[1],
    release: async () => {
      await runTool(iptables, ['-w', '-F', CHAIN]);
      await runTool(iptables, ['-w', '-X', CHAIN]);
    },
  };
}

async function byList(name: string): Promise<SetReference> {
  const list = `REF-${name}`;
  await runTool('ipset', ['create', list, 'list:set']);
  await runTool('ipset', ['add', list, name]);
  return {
    shownName: async () => /^add \S+ (\S+)/m.exec(await runTool('ipset', ['save', list]))?.[1],
    release: async () => void (await runTool('ipset', ['destroy', list])),
  };
}
