/** The fake kernel, as the conformance cases use it. */
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import { type Bed, MARK } from './bed.ts';

export function fakeBed(kernel: FakeKernel = new FakeKernel()): Bed {
  const session = kernel.session();
  let id = 100;
  return {
    session,
    refer: async (name) => {
      count(kernel, name, 1);
      return async () => count(kernel, name, 0);
    },
    connect: async (from, to, port) => {
      const original = {
        protocol: 'udp',
        source: from,
        sourcePort: 4711,
        destination: to,
        destinationPort: port,
      } as const;
      const reply = {
        protocol: 'udp',
        source: to,
        sourcePort: port,
        destination: from,
        destinationPort: 4711,
      } as const;
      id += 2;
      kernel.outside.connections.add({ id, zone: 0, status: 0xe, timeoutSeconds: 6000, mark: MARK, original, reply });
    },
    close: () => session.close(),
  };
}

function count({ outside }: FakeKernel, name: string, references: number): void {
  const set = outside.sets.get(name);
  if (set === undefined) throw new RangeError(`there is no set ${name}`);
  set.references = references;
}
