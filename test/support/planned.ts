import type { NewUpload } from '../../src/store.ts'

/** An upload as a store is asked to create it. */
export function planned(id: string, more: Partial<NewUpload> = {}): NewUpload {
  return {
    id,
    length: null,
    metadata: null,
    concat: null,
    attributes: {},
    createdAt: 1_700_000_000_000,
    expiresAt: null,
    ...more,
  }
}
