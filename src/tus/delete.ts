import { terminate } from '../upload/terminate.ts'
import type { Answer, Call } from './answer.ts'

/** DELETE: removes an upload. */
export async function remove({ context, caller }: Call, id: string): Promise<Answer> {
  await terminate(context, id, caller)
  return { status: 204 }
}
