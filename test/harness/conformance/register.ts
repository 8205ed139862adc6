/** Registers all cases of the conformance suite with node:test. */
import { after, afterEach, before, describe } from 'node:test';
import { type Bed, clear, type OpenBed } from './bed.ts';
import { conntrackCases } from './conntrack.ts';
import { ipsetCases } from './ipset.ts';
import { ipvsCases } from './ipvs.ts';
import { mixedCases } from './mixed.ts';
import { routeCases } from './route.ts';

export function registerConformance(name: string, open: OpenBed): void {
  describe(`conformance: ${name}`, () => {
    let bed: Bed | undefined;
    before(async () => {
      bed = await open();
      clear(bed.session);
    });
    afterEach(() => {
      if (bed !== undefined) clear(bed.session);
    });
    after(() => bed?.close());
    const get = (): Bed => {
      if (bed === undefined) throw new RangeError('no kernel was opened');
      return bed;
    };
    for (const cases of [ipvsCases, ipsetCases, routeCases, conntrackCases, mixedCases]) cases(get);
  });
}
