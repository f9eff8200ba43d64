import { request as httpRequest, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIPv6 } from 'node:net'
import type { Config } from './config.ts'

const timeoutMs = 5_000

/**
 * Asks the server that runs with this configuration, in another process on this machine, for `/healthz`.
 * @returns What it answered, for people.
 * @throws Error that says in one line why it cannot be called healthy.
 */
export async function askHealth(config: Config): Promise<string> {
  const { bind, unixSocket, tlsCert } = config
  if (unixSocket === undefined && bind.port === 0) throw new Error('a port that the server chose itself is not known')
  const where = unixSocket ?? `${bind.host}:${bind.port}`
  const target: RequestOptions =
    unixSocket === undefined ? { host: reachable(bind.host), port: bind.port } : { socketPath: unixSocket }
  const status = await ask(target, tlsCert !== undefined).catch((error: unknown) => {
    throw new Error(`Nothing healthy at ${where}: ${error instanceof Error ? error.message : String(error)}`)
  })
  if (status !== 200) throw new Error(`The server at ${where} answers ${status}`)
  return `The server at ${where} is healthy`
}

function ask(target: RequestOptions, isTls: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { ...target, path: '/healthz', agent: false, signal: AbortSignal.timeout(timeoutMs) }
    // The certificate is for the name that clients use.
    const request = isTls ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options)
    request.on('error', reject).on('response', (answer) => {
      answer.resume().on('error', reject)
      answer.on('end', () => resolve(answer.statusCode ?? 0))
    })
    request.end()
  })
}

/** An address that means all of this machine's is none to connect to. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  return isIPv6(host) && /^[0:]+$/.test(host) ? '::1' : host
}
