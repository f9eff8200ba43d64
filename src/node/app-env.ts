import type { Platform } from '../platform.ts'

/** What Hono hands to the server's routes. */
export interface AppEnv {
  readonly Bindings: { readonly platform: Platform }
}
