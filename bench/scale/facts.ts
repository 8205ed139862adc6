/** What a run measured: numbers, and series of them. A run prints them as one line of JSON, its last one on standard output. */
export type Facts = Readonly<Record<string, number | readonly number[]>>;

/** What a scenario is told: the size of the cluster, and what else it asks for. */
export interface ScenarioOptions {
  readonly services: number;
  readonly endpoints: number;
  /** VIPs as local routes, not as addresses on kube-ipvs0. */
  readonly routes: boolean;
  /** How often what is measured is done, where a scenario asks. */
  readonly times: number;
  /** In a process whose compiler has seen the code before. */
  readonly warm: boolean;
  /** Of a churn, at its steady rate. */
  readonly seconds: number;
  /** IPVS, ipset and iptables answered in memory, on the worker. */
  readonly fake: boolean;
}

/** What a file of `scenarios/` exports as `run`. */
export type Scenario = (options: ScenarioOptions) => Promise<Facts>;

export function factsOf(line: string): Facts {
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null) throw new TypeError(`a run printed no facts: ${line}`);
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, number | number[]] => isFact(entry[1])),
  );
}

function isFact(value: unknown): value is number | number[] {
  return typeof value === 'number' || (Array.isArray(value) && value.every((each) => typeof each === 'number'));
}

/** The number of that name; NaN when a run has not measured it. */
export function numberOf(facts: Facts | undefined, name: string): number {
  const value = facts?.[name];
  return typeof value === 'number' ? value : Number.NaN;
}

export function seriesOf(facts: Facts | undefined, name: string): readonly number[] {
  const value = facts?.[name];
  return Array.isArray(value) ? value : [];
}
