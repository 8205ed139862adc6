/** Binding VIPs in both ways: one operation for each either way, at very different prices (docs/vip-binding.md). */
import { parseAddress } from '../../lib/address.ts';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import type { KernelSession } from '../../lib/kernel/session.ts';
import type { Operation } from '../../lib/operations.ts';
import { bindOperation, unbindOperation, type VipKind } from '../../lib/plan/vip-binding.ts';
import type { IpAddress } from '../../lib/types.ts';
import type { Measurement, Modes } from '../measurement.ts';
import { checked, nowMicros, type Sample } from '../workload.ts';

const LINK = 'kube-ipvs0';
const COUNTS = { IPv4: 10_000, IPv6: 2000 } as const;

export const measurement: Measurement = {
  title: `binding and unbinding ${COUNTS.IPv4} IPv4 VIPs, and ${COUNTS.IPv6} IPv6 ones`,
  series: [
    { field: 'bindIPv4', title: 'bind, IPv4', unit: 'us each' },
    { field: 'unbindIPv4', title: 'unbind, IPv4', unit: 'us each' },
    { field: 'bindIPv6', title: 'bind, IPv6', unit: 'us each' },
    { field: 'unbindIPv6', title: 'unbind, IPv6', unit: 'us each' },
  ],
  ways: [
    { label: 'an address on kube-ipvs0', run: { mode: 'addresses' }, rounds: 3 },
    { label: 'a local route', run: { mode: 'routes' }, rounds: 3 },
  ],
  notes: [
    'One operation for each VIP and way; the kernel looks through all addresses of a device for each of them, and through no routes.',
  ],
};

function vips(family: keyof typeof COUNTS): IpAddress[] {
  return Array.from({ length: COUNTS[family] }, (_, index) => {
    const text = family === 'IPv4' ? `10.96.${index >> 8}.${index & 255}` : `fd00:96::${(index + 1).toString(16)}`;
    const address = parseAddress(text);
    if (address === undefined) throw new RangeError(text);
    return address;
  });
}

/** As the writer sends them: a thousand at a time. */
function run(session: KernelSession, operations: readonly Operation[]): number {
  const start = nowMicros();
  for (let at = 0; at < operations.length; at += 1000) {
    const batch = new Batch(1000);
    for (const operation of operations.slice(at, at + 1000)) batch.push(operation);
    checked(session.run(batch));
  }
  return (nowMicros() - start) / operations.length;
}

function binding(kind: VipKind): Sample {
  const session = openSession();
  checked(session.run(new Batch().ensureLink(LINK)));
  const [four, six] = [vips('IPv4'), vips('IPv6')];
  const bind = (all: readonly IpAddress[]): number =>
    run(
      session,
      all.map((vip) => bindOperation(kind, LINK, vip)),
    );
  const unbind = (all: readonly IpAddress[]): number =>
    run(
      session,
      all.map((vip) => unbindOperation(kind, LINK, vip)),
    );
  return { bindIPv4: bind(four), bindIPv6: bind(six), unbindIPv4: unbind(four), unbindIPv6: unbind(six) };
}

export const modes: Modes = {
  addresses: () => binding('addresses'),
  routes: () => binding('routes'),
};
