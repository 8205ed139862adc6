/** The kernel of this process's network namespace, as the conformance cases use it. For the test kernel: it empties IPVS. */
import { openSession } from '../../../lib/kernel/linux-session.ts';
import { runTool } from '../run-tool.ts';
import { referTo } from '../set-reference.ts';
import { type Bed, MARK } from './bed.ts';

export function realBed(): Bed {
  const session = openSession();
  return {
    session,
    refer: async (name) => (await referTo(name)).release,
    connect: async (from, to, port) => {
      await runTool('conntrack', [
        ...['-I', '-p', 'udp', '-s', from, '-d', to, '--sport', '4711', '--dport', String(port)],
        ...['-r', to, '-q', from, '--reply-port-src', String(port), '--reply-port-dst', '4711'],
        ...['-t', '6000', '--mark', String(MARK)],
      ]);
    },
    close: () => session.close(),
  };
}
