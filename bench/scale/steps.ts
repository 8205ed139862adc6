/** What is run for the speed table, in which order: what is compared stands side by side, in one boot. */
import type { ScenarioOptions } from './facts.ts';

export interface Sizes {
  readonly small: number;
  readonly middle: number;
  readonly large: number;
  /** More VIPs than a set of default size holds. */
  readonly beyondSets: number;
  readonly endpoints: number;
  /** Changes that are timed. */
  readonly times: number;
  /** Of the churn at its steady rate, in the test kernel, and on the host. */
  readonly seconds: number;
  readonly nativeSeconds: number;
}

export interface Step {
  /** Steps of the same name are samples of the same thing. */
  readonly name: string;
  readonly run:
    | { readonly floor: readonly string[] }
    | { readonly scenario: string; readonly options: Partial<ScenarioOptions> };
}

const fullSizes: Sizes = {
  ...{ small: 1000, middle: 10_000, large: 50_000, beyondSets: 70_000, endpoints: 5 },
  ...{ times: 1000, seconds: 600, nativeSeconds: 120 },
};
/** To see that it works: nothing it says means anything. */
const quickSizes: Sizes = {
  ...{ small: 200, middle: 500, large: 1000, beyondSets: 2000, endpoints: 5 },
  ...{ times: 100, seconds: 10, nativeSeconds: 10 },
};

/** @param minutes Of the churn, instead of 10. */
export function sizesOf(isQuick: boolean, minutes: number | undefined): Sizes {
  const sizes = isQuick ? quickSizes : fullSizes;
  if (minutes === undefined) return sizes;
  const seconds = Math.round(minutes * 60);
  return { ...sizes, seconds, nativeSeconds: Math.min(seconds, sizes.nativeSeconds) };
}

const SYNC_ROUNDS = 3;
const ROUNDS = 2;

/** With the kernel's own tables. */
export function kernelSteps(sizes: Sizes): Step[] {
  const { small, middle, large, endpoints, times, seconds } = sizes;
  const scenario = (name: string, run: string, options: Partial<ScenarioOptions>): Step => ({
    name,
    run: { scenario: run, options: { endpoints, times, ...options } },
  });
  const trip: Step = { name: 'trip', run: { floor: ['trip', String(2 * times)] } };
  const sync = (name: string, services: number, each: number, routes: boolean): Step[] => [
    {
      name: `${name} floor`,
      run: { floor: ['sync', String(services), String(each), routes ? 'routes' : 'addresses'] },
    },
    scenario(`${name} fresh`, 'first-sync', { services, endpoints: each, routes }),
    scenario(`${name} warm`, 'first-sync', { services, endpoints: each, routes, warm: true }),
  ];
  const change = (name: string, services: number): Step[] => [
    trip,
    scenario(`change ${name}`, 'change', { services, routes: true }),
  ];
  const audit: Step = {
    name: 'audit floor',
    run: { floor: ['audit', String(middle), String(endpoints), 'addresses', '5'] },
  };
  const critical = scenario('critical', 'critical', { services: middle });
  return [
    ...repeated(SYNC_ROUNDS, sync('sync small', small, endpoints, false)),
    ...repeated(ROUNDS, sync('sync middle', middle, endpoints, false)),
    ...repeated(ROUNDS, sync('sync large', large, 1, true)),
    scenario('sync beyond', 'first-sync', { services: sizes.beyondSets, endpoints: 0, routes: true }),
    ...repeated(ROUNDS, [...change('small', small), ...change('middle', middle), ...change('large', large)]),
    trip,
    scenario('proxier', 'proxier', { services: middle }),
    trip,
    scenario('change size', 'change-size', { services: middle, routes: true, times: Math.max(5, times / 50) }),
    ...repeated(ROUNDS, [critical]),
    audit,
    scenario('restart', 'restart', { services: middle }),
    audit,
    scenario('memory', 'memory', { services: middle }),
    scenario('footprint', 'footprint', { services: middle }),
    scenario('churn', 'churn', { services: middle, seconds }),
  ];
}

/** On this host, whose kernel need not have IPVS: it is answered in memory, on the worker. */
export function nativeSteps({ small, middle, large, endpoints, times, nativeSeconds }: Sizes): Step[] {
  const proxier = (name: string, services: number): Step => ({
    name: `native proxier ${name}`,
    run: { scenario: 'proxier', options: { services, endpoints, times: 2 * times, routes: true, fake: true } },
  });
  return [
    ...repeated(ROUNDS, [proxier('small', small), proxier('middle', middle)]),
    proxier('large', large),
    {
      name: 'native churn',
      run: {
        scenario: 'churn',
        options: { services: middle, endpoints, seconds: nativeSeconds, routes: true, fake: true },
      },
    },
  ];
}

function repeated(count: number, steps: readonly Step[]): Step[] {
  return Array.from({ length: count }, () => steps).flat();
}
