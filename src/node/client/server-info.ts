import type { HttpRequest, HttpResponse, HttpStack } from 'tus-js-client'
import { explainAnswer, explainError, UploadError } from './explain.ts'
import type { UploadArguments } from './arguments.ts'

/** What a server says that it can do. */
export interface ServerInfo {
  readonly extensions: readonly string[]
  readonly checksums: readonly string[]
  /** Bytes. */
  readonly maxSize: number | null
}

/**
 * Asks the server before anything is sent: a wrong URL, a credential that it does not take and what it cannot do are
 * told at once, and once.
 * @returns null when it was aborted.
 * @throws UploadError
 */
export async function askServer(
  stack: HttpStack,
  { to, headers }: UploadArguments,
  signal: AbortSignal,
): Promise<ServerInfo | null> {
  const request = stack.createRequest('OPTIONS', to.href)
  for (const [name, value] of Object.entries({ 'Tus-Resumable': '1.0.0', ...headers })) request.setHeader(name, value)
  const response = await sendUnlessAborted(request, signal).catch((error: unknown) => {
    throw new UploadError(`${to.host} cannot be reached: ${explainError(error)}`, { cause: error })
  })
  if (response === null) return null
  const status = response.getStatus()
  const list = (name: string) => (response.getHeader(name) ?? '').split(',').map((each) => each.trim())
  if (status >= 300) {
    throw new UploadError(explainAnswer(status, response.getBody(), response.getHeader('Location')))
  }
  if (!list('Tus-Version').includes('1.0.0')) {
    throw new UploadError(`there is no tus server at ${to.origin}${to.pathname}: its answer lacks Tus-Version`)
  }
  const maxSize = response.getHeader('Tus-Max-Size')
  return {
    extensions: list('Tus-Extension'),
    checksums: list('Tus-Checksum-Algorithm'),
    maxSize: maxSize === undefined ? null : Number(maxSize),
  }
}

async function sendUnlessAborted(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse | null> {
  if (signal.aborted) return null
  const stop = () => void request.abort()
  signal.addEventListener('abort', stop)
  try {
    return await request.send(null)
  } catch (error) {
    if (signal.aborted) return null
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** @throws UploadError when the server cannot do what is asked for. */
export function checkAbilities({ extensions, checksums }: ServerInfo, args: UploadArguments): void {
  const needs = (extension: string, what: string) => {
    if (!extensions.includes(extension))
      throw new UploadError(`the server does not offer ${extension}, which ${what} needs`)
  }
  needs('creation', 'an upload')
  if (args.parallel > 1) needs('concatenation', '--parallel')
  if (args.files.includes('-')) needs('creation-defer-length', 'an upload from standard input')
  if (args.checksum === null) return
  needs('checksum', '--checksum')
  if (!checksums.includes(args.checksum)) {
    throw new UploadError(`the server knows no ${args.checksum}; it offers ${checksums.join(', ')}`)
  }
}
