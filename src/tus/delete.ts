import { terminate } from '../upload/terminate.ts'
import type { Answer, Call } from './answer.ts'

/** DELETE: removes an upload. */
export async function remove({ context, request }: Call, id: string): Promise<Answer> {
  await terminate(context, id, request)
  return { status: 204 }
}
