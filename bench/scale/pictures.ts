/** What a change costs: by the size of the cluster, by the size of the change, and over a churn. */
import { linePicture } from '../line-picture.ts';
import type { Samples } from './samples.ts';
import type { Sizes } from './steps.ts';

/** By the end of the file name. Of what was not measured there is no picture. */
export function picturesOf(samples: Samples, sizes: Sizes, where: string): ReadonlyMap<string, string> {
  const pictures = new Map<string, string>();
  if (!Number.isNaN(samples.figure('change middle', 'p50')))
    pictures.set('cluster', clusterPicture(samples, sizes, where));
  if (samples.series('change size', 'sizes').length > 0) pictures.set('change', changePicture(samples, sizes, where));
  if (samples.series('churn', 'secondsP50Ms').length > 1) pictures.set('churn', churnPicture(samples, sizes, where));
  return pictures;
}

function clusterPicture(samples: Samples, { small, middle, large, endpoints }: Sizes, where: string): string {
  const names = ['change small', 'change middle', 'change large'];
  const bare = samples.figure('trip', 'p50');
  const of = (fact: string): number[] => names.map((name) => samples.figure(name, fact));
  return linePicture({
    heading: `One endpoint change, arrived in the worker to the kernel's answer: Services x ${endpoints} endpoints`,
    note: where,
    across: { title: 'Services', values: [small, middle, large], isLogarithmic: true },
    up: { title: 'µs' },
    lines: [
      { label: 'p50', values: of('p50') },
      { label: 'a new endpoint, p50', values: of('newP50') },
      { label: 'bare netlink round trip in C', values: names.map(() => bare), isReference: true },
    ],
    marks: true,
  });
}

function changePicture(samples: Samples, { middle, endpoints }: Sizes, where: string): string {
  return linePicture({
    heading: `Endpoints of one Service of 1,000 that change at once, ${middle} x ${endpoints} beside it: arrived in the worker to the last answer.`,
    note: where,
    across: { title: 'endpoints that change', values: samples.series('change size', 'sizes') },
    up: { title: 'ms' },
    lines: [{ label: 'median', values: samples.series('change size', 'micros').map((micros) => micros / 1000) }],
    marks: true,
  });
}

function churnPicture(samples: Samples, { middle, endpoints }: Sizes, where: string): string {
  const p50 = samples.series('churn', 'secondsP50Ms');
  return linePicture({
    heading: `1,000 events a second on ${middle} x ${endpoints}: from being handed in to being in the kernel, each second's probes.`,
    note: where,
    across: { title: 'seconds', values: p50.map((_, second) => second + 1) },
    up: { title: 'ms', isLogarithmic: true },
    lines: [
      { label: 'median of the second', values: p50 },
      { label: 'highest of the second', values: samples.series('churn', 'secondsMaxMs') },
    ],
  });
}
