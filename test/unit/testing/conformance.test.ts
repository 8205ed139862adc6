/** The conformance suite on the fake kernel. `test/kernel-layer/conformance.test.ts` is the same on a real one. */
import { fakeBed } from '../../harness/conformance/fake-bed.ts';
import { registerConformance } from '../../harness/conformance/register.ts';

registerConformance('the fake kernel', () => fakeBed());
