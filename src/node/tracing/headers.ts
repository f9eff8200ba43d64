let inject: () => Record<string, string> = () => ({})

/**
 * Headers that let a request to another service, a webhook say, be part of the trace of the request that is being
 * worked on; none where tracing is off. To be taken while a hook runs, and kept with what is sent later.
 */
export function traceHeaders(): Record<string, string> {
  return inject()
}

/** Says where the headers come from, once tracing is on: its packages are not loaded before. */
export function setTraceHeaders(source: () => Record<string, string>): void {
  inject = source
}
