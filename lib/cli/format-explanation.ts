/** Why a service port is served as it is: a line for each frontend and endpoint that says all of it, so that `grep` finds answers. */
interface Verdict {
  readonly isIn: boolean;
  readonly why: string;
}

interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly slice: string;
  readonly weight: number;
  readonly cluster?: Verdict;
  readonly local?: Verdict;
}

/** A `PortExplanation`, here or out of an answer. */
export interface SaidPort {
  readonly port: string;
  readonly frontends: readonly {
    readonly kind: string;
    readonly service: string;
    readonly list: keyof typeof lists;
    readonly why: string;
  }[];
  readonly endpoints: readonly Endpoint[];
}

const lists = { cluster: 'all endpoints', local: 'endpoints of this node', none: 'no endpoint' } as const;

/**
 * `# frontend IPv4 ns1/svc1:p80/tcp cluster-ip tcp 10.96.0.10:80: all endpoints (internalTrafficPolicy Cluster)` and
 * `# endpoint IPv4 ns1/svc1:p80/tcp 10.244.1.5:8080 of slice ns1/svc1-a: cluster in (ready), local out (on another node, …)`.
 */
export function explanationLines({ port, frontends, endpoints }: SaidPort): readonly string[] {
  return [
    ...frontends.map(
      ({ kind, service, list, why }) => `# frontend ${port} ${kind} ${service}: ${lists[list]} (${why})`,
    ),
    ...endpoints.map(
      (endpoint) => `# endpoint ${port} ${nameOf(endpoint)} of slice ${endpoint.slice}: ${said(endpoint)}`,
    ),
  ];
}

function nameOf({ address, port }: Endpoint): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function said(endpoint: Endpoint): string {
  const weight = endpoint.weight === 1 ? [] : [`weight ${endpoint.weight}`];
  const verdicts = (['cluster', 'local'] as const).flatMap((list) => {
    const verdict = endpoint[list];
    return verdict === undefined ? [] : [`${list} ${verdict.isIn ? 'in' : 'out'} (${verdict.why})`];
  });
  return verdicts.length > 0 ? [...verdicts, ...weight].join(', ') : 'no frontend of it is served here';
}
