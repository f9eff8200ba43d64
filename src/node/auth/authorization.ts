/** Who may use the server: by bearer token, by JSON Web Token or by signed URL. */
import type { Logger } from 'pino'
import { combineHooks } from '../../combine.ts'
import { signedUrlHooks } from '../../grants/hooks.ts'
import type { UploadHooks } from '../../hooks.ts'
import type { Config } from '../config.ts'
import type { Feature, RequestContext } from '../features.ts'
import { createAuthenticator } from './authenticate.ts'
import { hasAuthorization } from './check.ts'
import { ownerHooks } from './owner.ts'

/**
 * Authorization as the configuration asks for it; null where it does not.
 * @throws Error that says in one line which key cannot be used.
 */
export function openAuthorization(config: Config, log: Logger): Feature | null {
  if (!hasAuthorization(config)) return null
  const { authUrlSecret, authOwnerClaim } = config
  const authenticate = createAuthenticator(config, log)
  const urls =
    authUrlSecret === undefined ? null : signedUrlHooks({ secret: authUrlSecret, required: authenticate === null })

  const onRequest: NonNullable<UploadHooks<RequestContext>['onRequest']> = async (event) => {
    // What the server can do is no secret; a monitor may ask.
    if (event.operation === 'options') return {}
    const { grant } = (await urls?.onRequest(event)) ?? {}
    // Enough by itself: a header that a client sends with everything must not take it away again.
    if (grant !== undefined) return { grant, claims: grant.claims }
    return authenticate === null ? {} : authenticate(event)
  }
  const rest = urls === null ? [] : [{ onAccess: urls.onAccess, onLimit: urls.onLimit, onCreate: urls.onCreate }]
  const owner = authOwnerClaim === undefined ? [] : [ownerHooks(authOwnerClaim)]
  return { hooks: combineHooks<RequestContext>([{ onRequest }, ...rest, ...owner]) }
}
