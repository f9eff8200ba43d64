import type { UploadHooks } from '../../hooks.ts'
import type { Concat } from '../../store.ts'
import type { Meters } from './meters.ts'

/** Counts what becomes of uploads. None of these hooks costs a request anything at the storage. */
export function uploadMeter({ created, finished, terminated, expired }: Meters): UploadHooks<object> {
  return {
    onCreated: ({ upload }) => created.inc({ type: typeOf(upload.concat) }),
    onFinished: ({ upload }) => finished.inc({ type: typeOf(upload.concat) }),
    onTerminated: () => terminated.inc(),
    onExpire: () => expired.inc(),
  }
}

function typeOf(concat: Concat | null): 'plain' | 'partial' | 'final' {
  return concat?.type ?? 'plain'
}
