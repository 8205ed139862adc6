/** Node → {@link NodeBody} (behaviour.md 1.6). */
import { parseCidr } from '../address.ts';
import type { NodeBody } from '../records.ts';
import type { IpAddress } from '../types.ts';
import { asArray, isAbsent, objectOrEmpty, show, stringOrEmpty } from './json.ts';
import { nodeView, textsOf } from './object-views.ts';
import { addressOf, addressProblem, identify, labelsOf, type Projection } from './projection.ts';
import type { NodeFacts } from './weights.ts';

const ZONE_LABEL = 'topology.kubernetes.io/zone';

export interface NodeProjection extends Projection<NodeBody> {
  /** For weights. */
  readonly facts?: NodeFacts;
}

/** @param withView Keep what hooks need to see. */
export function projectNode(object: unknown, nodeName: string, withView: boolean = false): NodeProjection {
  const identity = identify('Node', object);
  if (typeof identity === 'string') return { key: undefined, uid: '', body: null, problems: [identity] };
  const problems: string[] = [];
  const body: NodeBody = {
    self: identity.name === nodeName,
    zone: stringOrEmpty(labelsOf(identity.metadata)[ZONE_LABEL]),
    addresses: readAddresses(objectOrEmpty(identity.object['status'])['addresses'], problems),
    podCIDRs: readPodCIDRs(identity.object['spec'], problems),
  };
  const view = withView ? nodeView(identity) : undefined;
  const labels = view?.metadata.labels ?? textsOf(identity.metadata['labels']);
  return { key: identity.key, uid: identity.uid, body, problems, facts: { zone: body.zone, labels, view } };
}

function readAddresses(value: unknown, problems: string[]): IpAddress[] {
  const list = asArray(value) ?? [];
  const addresses = new Set<IpAddress>();
  for (const type of ['InternalIP', 'ExternalIP']) {
    for (const [index, item] of list.entries()) {
      const entry = objectOrEmpty(item);
      if (entry['type'] !== type) continue;
      const address = addressOf(entry['address']);
      if (address !== undefined) addresses.add(address);
      else {
        const text = `${show(entry['address'])} ${addressProblem(entry['address'])}`;
        problems.push(`status.addresses[${index}].address: ${text}; it is skipped`);
      }
    }
  }
  return [...addresses];
}

function readPodCIDRs(value: unknown, problems: string[]): string[] {
  const spec = objectOrEmpty(value);
  const list = asArray(spec['podCIDRs']);
  const single = spec['podCIDR'];
  const values = list ?? (isAbsent(single) || single === '' ? [] : [single]);
  const cidrs = new Set<string>();
  for (const [index, item] of values.entries()) {
    const cidr = typeof item === 'string' ? parseCidr(item) : undefined;
    const field = list === undefined ? 'spec.podCIDR' : `spec.podCIDRs[${index}]`;
    if (cidr !== undefined) cidrs.add(cidr.text);
    else problems.push(`${field}: ${show(item)} is not a CIDR such as 10.244.1.0/24; it is skipped`);
  }
  return [...cidrs];
}
