import type { UploadHooks } from '../hooks.ts'
import type { Upload } from '../store.ts'
import { type Caller, eventOf } from './caller.ts'
import type { Context } from './context.ts'

/** Runs a hook for what has happened already: what it throws is reported, and changes nothing. */
export async function tell(
  { report }: Context,
  hook: UploadHooks['onCreated'],
  type: 'created' | 'finish' | 'terminate',
  upload: Upload,
  caller: Caller | null,
): Promise<void> {
  try {
    await hook?.(eventOf(type, upload, caller))
  } catch (error) {
    report(error, caller)
  }
}
