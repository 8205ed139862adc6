/** The conformance suite on a real kernel, and any history of operations on both kernels side by side. Empties IPVS. */

import { registerHistories } from '../harness/conformance/histories.ts';
import { realBed } from '../harness/conformance/real-bed.ts';
import { registerConformance } from '../harness/conformance/register.ts';

registerConformance('a real kernel', () => realBed());
registerHistories('fake and real kernel', () => realBed());
