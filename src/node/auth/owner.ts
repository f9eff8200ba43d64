import { TusError } from '../../errors.ts'
import type { UploadHooks } from '../../hooks.ts'
import type { RequestContext } from '../features.ts'

/** Kept with each upload that somebody with a claim has created. */
const attribute = 'owner'

/**
 * Lets uploads belong to whoever created them, as a claim names them. Everybody else is told that there is no such
 * upload, as they are of those that belong to nobody. Who came by a static token has no claims and sees all uploads; a
 * signed URL opens the upload that it names.
 */
export function ownerHooks(claim: string): UploadHooks<RequestContext> {
  return {
    onAccess({ upload, context }) {
      const { claims, grant } = context ?? {}
      if (grant !== undefined || claims === undefined) return
      const owner = ownerOf(claims, claim)
      if (owner === null || upload.attributes[attribute] !== owner) throw new TusError('not_found')
    },
    onCreate({ context }) {
      const owner = context?.claims === undefined ? null : ownerOf(context.claims, claim)
      return owner === null ? undefined : { attributes: { [attribute]: owner } }
    },
  }
}

/** Whom a claim names; null where it names nobody. Some issuers number their subjects. */
export function ownerOf(claims: Readonly<Record<string, unknown>>, claim: string): string | null {
  const value = Object.hasOwn(claims, claim) ? claims[claim] : undefined
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value)
  return typeof value === 'string' && value !== '' ? value : null
}
