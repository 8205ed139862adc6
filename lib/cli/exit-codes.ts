/** What the command's exit status says. Kept stable: scripts branch on it. */
export const ExitCode = {
  ok: 0,
  /** Nothing works: no permission, no IPVS in the kernel, unusable kubeconfig, another proxier, … */
  error: 1,
  /** The command line is wrong. */
  usage: 2,
  /** `cleanup`, `run --init-only`: something failed, the rest was done. `run --once`, `replay`: something wanted is not served: it failed, has no known outcome, is contested, or was not complete in time. `status`, `explain`: the same of a running proxier, or it is not healthy. */
  incomplete: 3,
} as const;

export const exitCodeHelp = `
Exit codes:
  0  done; stopped by SIGTERM or SIGINT
  1  error: no permission, no IPVS in the kernel, unusable kubeconfig, another proxier, ...;
     explain: nothing is known of it, or no proxier runs here
  2  wrong command line
  3  run --once, replay: an operation failed or has no known outcome, a virtual service or a set that is wanted is somebody
     else's or of another type and was left alone, or there was no complete state within --timeout, no complete pass
     soon after it, or none yet when it was stopped;
     cleanup, run --init-only: something failed, and the rest was done;
     status, explain: the proxier is not healthy, or something that is asked about fails or is contested
`;
