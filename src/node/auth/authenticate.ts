import type { Logger } from 'pino'
import { TusError } from '../../errors.ts'
import type { Operation, RequestEvent } from '../../hooks.ts'
import type { Config } from '../config.ts'
import type { RequestContext } from '../features.ts'
import { createJwtVerifier } from './jwt.ts'
import { ownerOf } from './owner.ts'
import { scopesFor, scopesOf } from './scopes.ts'
import { createTokenCheck } from './tokens.ts'

/** Tells who asks, by the `Authorization` header. */
export type Authenticator = (event: RequestEvent) => Promise<RequestContext>

/**
 * What the configuration says of bearer tokens; null where it knows none.
 * @throws Error that says in one line which key cannot be used.
 */
export function createAuthenticator(config: Config, log: Logger): Authenticator | null {
  const { authTokens, authScopes, authScopeClaim, authOwnerClaim } = config
  const isKnown = authTokens === undefined ? null : createTokenCheck(authTokens)
  const verify = createJwtVerifier(config, log)
  if (isKnown === null && verify === null) return null

  return async ({ request, operation }) => {
    const header = request.headers.get('authorization')
    if (header === null || !/^bearer\b/i.test(header)) throw unauthorized(null)
    // A token in the query or a body is none: it would end up in logs and histories.
    const token = /^bearer +([\w\-.~+/]+=*)$/i.exec(header)?.[1]
    if (token === undefined) throw unauthorized('The token is malformed')
    if (isKnown?.(token) === true) return {}
    if (verify === null) throw unauthorized('The token is not valid')
    const verdict = await verify(token)
    if (verdict === 'unavailable') throw unavailable(operation)
    if (typeof verdict === 'string') throw unauthorized(verdict)
    if (authOwnerClaim !== undefined && ownerOf(verdict.claims, authOwnerClaim) === null) {
      throw unauthorized('The token does not say who it is for')
    }
    if (authScopes) checkScope(verdict.claims, authScopeClaim, operation)
    return verdict
  }
}

function checkScope(claims: Readonly<Record<string, unknown>>, claim: string, operation: Operation): void {
  const [needed = '', ...others] = scopesFor(operation)
  const has = scopesOf(claims[claim])
  if ([needed, ...others].some((scope) => has.has(scope))) return
  throw new TusError('rejected', `The token lacks the scope ${needed}`, {
    headers: challenge('insufficient_scope', `The token lacks the scope ${needed}`, needed),
  })
}

/** RFC 6750, 3.1: who sends no token is told that one is needed, and not that something is wrong with it. */
function unauthorized(problem: string | null): TusError {
  return new TusError('rejected', problem ?? 'A bearer token is needed in the Authorization header', {
    status: 401,
    headers: problem === null ? { 'WWW-Authenticate': 'Bearer realm="uploads"' } : challenge('invalid_token', problem),
  })
}

function challenge(error: string, description: string, scope?: string): Record<string, string> {
  const parts = ['realm="uploads"', `error="${error}"`, `error_description="${description}"`]
  if (scope !== undefined) parts.push(`scope="${scope}"`)
  return { 'WWW-Authenticate': `Bearer ${parts.join(', ')}` }
}

/**
 * Our failure, not the client's: it shall come back. A HEAD that is answered anything but 423 makes tus-js-client start
 * a new upload, so that is what it gets.
 */
function unavailable(operation: Operation): TusError {
  const status = operation === 'inspect' ? 423 : 503
  const message = 'Tokens cannot be checked at the moment'
  return new TusError('rejected', message, { status, headers: { 'Retry-After': '5' } })
}
