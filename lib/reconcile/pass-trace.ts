/** How much the flight recorder has kept of a pass that is being made. */
export class PassTrace {
  /** Its number; 0 = it has none yet. */
  pass = 0;
  round = 0;
  /** Operations so far. */
  tried = 0;
  /** Of those that were done, and of those that were not: kept one by one. */
  kept = 0;
  refused = 0;
}
