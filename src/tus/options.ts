import { checksumAlgorithms } from '../body/checksum.ts'
import type { Answer, Call } from './answer.ts'
import { version } from './headers.ts'

/** OPTIONS: what this server can do. */
export function options({ context, platform }: Call): Answer {
  const extensions = [...context.extensions].filter(
    // Only the runtime knows whether trailers can be read.
    (name) => name !== 'checksum-trailer' || platform?.trailers !== undefined,
  )
  const { maxSize } = context
  return {
    status: 204,
    headers: {
      'Tus-Version': version,
      ...(extensions.length > 0 && { 'Tus-Extension': extensions.join(',') }),
      ...(typeof maxSize === 'number' && maxSize > 0 && { 'Tus-Max-Size': String(maxSize) }),
      ...(context.extensions.has('checksum') && { 'Tus-Checksum-Algorithm': checksumAlgorithms().join(',') }),
    },
  }
}
