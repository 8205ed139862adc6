/** The fake host that a recording is replayed on: an interface with the addresses that the recorded Node has. */
import { familyOf, parseAddress } from '../../address.ts';
import { asArray, objectOrEmpty } from '../../kube/json.ts';
import { objectKey } from '../../kube/projection.ts';
import { parseRecordingLine } from '../../kube/recording-format.ts';
import type { IpAddress } from '../../types.ts';
import { FakeKernel } from '../fake-kernel.ts';
import { FakeSysctls } from '../fake-sysctls.ts';
import { numberedLines } from './numbered-lines.ts';

/** Node ports answer on these addresses. */
export async function fakeKernelOf(path: string, nodeName: string): Promise<FakeKernel> {
  const kernel = new FakeKernel();
  kernel.outside.addLink('eth0', '', true);
  for (const address of await recordedAddresses(path, nodeName)) {
    const prefixLength = familyOf(address) === 'IPv4' ? 24 : 64;
    kernel.outside.apply({ verb: 'add-address', address: { link: 'eth0', address, prefixLength } });
  }
  return kernel;
}

/** Those of a fresh network namespace on a host that routes, as hosts of pods do. */
export function fakeSysctlsOfRouter(): FakeSysctls {
  const sysctls = new FakeSysctls();
  for (const key of ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding']) sysctls.write(key, '1');
  return sysctls;
}

/** Internal IPs of the first Node of that name in the recording. */
async function recordedAddresses(path: string, nodeName: string): Promise<readonly IpAddress[]> {
  for await (const { text } of numberedLines(path)) {
    // Most lines are of other kinds; they are not worth a parse.
    if (text === undefined || !text.includes('"kind":"Node"')) continue;
    const line = parseRecordingLine(text);
    if (typeof line === 'string' || (line.op !== 'upsert' && line.op !== 'item') || line.kind !== 'Node') continue;
    if (objectKey('Node', line.object) !== nodeName) continue;
    const { addresses } = objectOrEmpty(objectOrEmpty(line.object)['status']);
    return (asArray(addresses) ?? []).flatMap((each) => {
      const { type, address } = objectOrEmpty(each);
      const parsed = type === 'InternalIP' && typeof address === 'string' ? parseAddress(address) : undefined;
      return parsed === undefined ? [] : [parsed];
    });
  }
  return [];
}
