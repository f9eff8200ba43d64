/** Keeps secrets out of the log: errors of clients and storages quote URLs, headers and connection strings. */

const hidden = '***'

/** What stands for a secret in text, and what is written instead. */
const rules: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  // User and password of a URL; its query, which may sign it or hold a token.
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>@]*@/gi, `$1${hidden}@`],
  [/((?:\b[a-z][a-z0-9+.-]*:\/\/|\/)[^\s?#"'<>]*)\?[^\s"'<>]+/gi, `$1?${hidden}`],
  // Credentials as headers carry them.
  [
    /\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]*(?:token|key|secret))(["']?\s*[:=]\s*["']?)[^\r\n"']+/gi,
    `$1$2${hidden}`,
  ],
  [/\b(Bearer|Basic|SharedKey|SharedKeyLite)\s+[\w.~+/=:-]+/g, `$1 ${hidden}`],
  // Pairs in connection strings, queries, forms and JSON.
  [
    /\b([\w.-]*(?:account_?key|access_?key|SharedAccessSignature|signature|credential|password|passwd|secret|token|api_?key)|sig)(["']?\s*=\s*["']?|["']\s*:\s*["'])[^\s;&,"'<>]+/gi,
    `$1$2${hidden}`,
  ],
]

/** The text without what looks like a secret. */
export function redact(text: string): string {
  return rules.reduce((rest, [pattern, replacement]) => rest.replace(pattern, replacement), text)
}

/** An error for the log. Of its fields only those that are known to hold no secrets: those of HTTP clients hold requests. */
export interface LoggedError {
  readonly type: string
  readonly message: string
  readonly stack?: string
  readonly code?: string | number
  readonly status?: number
  readonly cause?: LoggedError
  readonly errors?: readonly LoggedError[]
}

/** Causes of causes that are followed. */
const depth = 8

/** Makes a log entry of whatever was thrown, causes included. */
export function loggedError(error: unknown, left = depth): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, message: redact(String(error)) }
  const { code, status, cause, errors } = error as Error & Record<'code' | 'status' | 'errors', unknown>
  return {
    type: error.name,
    message: redact(error.message),
    ...(error.stack !== undefined && { stack: redact(error.stack) }),
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(typeof status === 'number' && { status }),
    ...(cause !== undefined && left > 0 && { cause: loggedError(cause, left - 1) }),
    ...(Array.isArray(errors) && left > 0 && { errors: errors.map((each: unknown) => loggedError(each, left - 1)) }),
  }
}
