/**
 * Signed upload URLs: a backend hands one to a client, which then creates one upload, or uses one, without any other
 * credential. They are JSON Web Tokens in the query, so a backend in any language can sign them.
 */
export { createSigner } from './grants/signer.ts'
export type { CreationOptions, SignedCreation, Signer, SignerOptions, UploadUrlOptions } from './grants/signer.ts'
export { createVerifier, signedUrlHooks } from './grants/hooks.ts'
export type { SignedUrlContext, SignedUrlOptions, Verifier } from './grants/hooks.ts'
export type { Grant, GrantedOperation } from './grants/grant.ts'
